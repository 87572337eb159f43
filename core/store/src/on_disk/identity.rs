//! Whose records are these?
//!
//! Both files say it in a row of their own: the version of their form, the chain and its signing domain, and when they were made.

use preconf_core::{B256, ChainId, UnixTime};
use redb::{ReadTransaction, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::report::{Flaw, Flaws};
use super::rows::{Rows, scan};
use super::seal;

/// Version of the tables and of what stands in them. A change of either that old code would misread raises it.
pub const SCHEMA: u32 = 1;

pub(crate) const META: &str = "meta";
const KEY: &[u8] = b"identity";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// First, so that a later version can always be read so far.
    pub(crate) schema: u32,
    pub(crate) chain: ChainId,
    pub(crate) domain: B256,
    pub(crate) began: UnixTime,
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Ours(Identity),
    /// A form that a later version of this package wrote.
    Foreign {
        schema: u32,
    },
}

impl Identity {
    pub(crate) fn write(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        Rows::open(transaction, META)?.put(KEY, &seal::encode(self)).map(drop)
    }
}

impl Label {
    /// Reads it, and notes where it is missing.
    pub(crate) fn read(transaction: &ReadTransaction, flaws: &mut Flaws) -> Option<Self> {
        let mut label = None;
        scan(transaction, META, flaws, |key, value, _| {
            if key == KEY {
                label = Some(read(value).ok_or("it makes no sense")?);
            }
            Ok(())
        });
        if label.is_none() && flaws.is_empty() {
            flaws.push(Flaw::table(META, "it does not say whose file this is"));
        }
        label
    }
}

fn read(value: &[u8]) -> Option<Label> {
    let (schema, _) = postcard::take_from_bytes::<u32>(value).ok()?;
    if schema == SCHEMA { seal::decode(value).map(Label::Ours) } else { Some(Label::Foreign { schema }) }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use redb::{Builder, ReadableDatabase};

    use super::*;

    #[test]
    fn a_later_form_is_told_from_ours_and_from_damage() {
        let ours = Identity { schema: SCHEMA, chain: ChainId(7), domain: B256::ZERO, began: UnixTime(3) };
        // Whatever a later version writes behind its number.
        let later = [&seal::encode(&(SCHEMA + 1))[..], b"anything"].concat();
        let damaged = seal::encode(&SCHEMA);
        for (value, expected) in
            [(seal::encode(&ours), Some(Label::Ours(ours))), (later, Some(Label::Foreign { schema: SCHEMA + 1 })), (damaged, None)]
        {
            let database = Builder::new().create_with_backend(InMemoryBackend::new()).expect("memory");
            let transaction = database.begin_write().expect("memory");
            Rows::open(&transaction, META).and_then(|mut rows| rows.put(KEY, &value)).expect("memory");
            transaction.commit().expect("memory");
            let mut flaws = Flaws::default();
            assert_eq!(Label::read(&database.begin_read().expect("memory"), &mut flaws), expected);
            assert_eq!(flaws.is_empty(), expected.is_some(), "{flaws}");
        }
    }
}
