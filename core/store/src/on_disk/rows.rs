//! The rows of one table: sealed when they are written, checked when they are read.

use std::collections::BTreeMap;
use std::ops::RangeTo;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use super::report::{Flaw, Flaws};
use super::seal;

/// A table of ours: bytes by bytes.
pub(crate) type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// A table within a write.
pub(crate) struct Rows<'t> {
    table: redb::Table<'t, &'static [u8], &'static [u8]>,
    name: &'static str,
}

impl<'t> Rows<'t> {
    /// Opens a table, and makes it if it is missing.
    pub(crate) fn open(transaction: &'t WriteTransaction, name: &'static str) -> Result<Self, redb::Error> {
        Ok(Self { table: transaction.open_table(Table::new(name))?, name })
    }

    /// Writes a row, and tells its checksum.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<u64, redb::Error> {
        self.table.insert(key, seal::seal(self.name, key, value).as_slice())?;
        Ok(seal::check(self.name, key, value))
    }

    /// A row's value and its checksum. A damaged row is an error: nothing may be built on it.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<(Vec<u8>, u64)>, redb::Error> {
        let Some(sealed) = self.table.get(key)? else { return Ok(None) };
        match seal::open(self.name, key, sealed.value()) {
            Some((value, check)) => Ok(Some((value.to_vec(), check))),
            None => Err(damaged(self.name, key)),
        }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> Result<bool, redb::Error> {
        Ok(self.table.get(key)?.is_some())
    }

    /// Removes a row. Was it there?
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<bool, redb::Error> {
        Ok(self.table.remove(key)?.is_some())
    }

    pub(crate) fn len(&self) -> Result<u64, redb::Error> {
        Ok(self.table.len()?)
    }

    pub(crate) fn first_key(&self) -> Result<Option<Vec<u8>>, redb::Error> {
        Ok(self.table.first()?.map(|(key, _)| key.value().to_vec()))
    }

    pub(crate) fn last_key(&self) -> Result<Option<Vec<u8>>, redb::Error> {
        Ok(self.table.last()?.map(|(key, _)| key.value().to_vec()))
    }

    /// The keys below one.
    pub(crate) fn keys(&self, below: RangeTo<&[u8]>) -> Result<Vec<Vec<u8>>, redb::Error> {
        let mut keys = Vec::new();
        for row in self.table.range::<&[u8]>(below)? {
            keys.push(row?.0.value().to_vec());
        }
        Ok(keys)
    }

    /// All rows, by key.
    pub(crate) fn all(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, redb::Error> {
        let mut rows = BTreeMap::new();
        for row in self.table.iter()? {
            let (key, sealed) = row?;
            let (value, _) = seal::open(self.name, key.value(), sealed.value()).ok_or_else(|| damaged(self.name, key.value()))?;
            rows.insert(key.value().to_vec(), value.to_vec());
        }
        Ok(rows)
    }
}

/// Shows each good row of a table, as `(key, value, checksum)`, and notes the others. What it is shown to may find fault with a row, too.
pub(crate) fn scan(
    transaction: &ReadTransaction,
    name: &'static str,
    flaws: &mut Flaws,
    mut show: impl FnMut(&[u8], &[u8], u64) -> Result<(), &'static str>,
) {
    let mut found = Vec::new();
    let read = catch_unwind(AssertUnwindSafe(|| -> Result<(), redb::Error> {
        for row in transaction.open_table(Table::new(name))?.iter()? {
            let (key, sealed) = row?;
            let key = key.value();
            let shown = match seal::open(name, key, sealed.value()) {
                Some((value, check)) => show(key, value, check),
                None => Err("its checksum does not fit"),
            };
            if let Err(what) = shown {
                found.push(Flaw::row(name, key, what));
            }
        }
        Ok(())
    }));
    found.into_iter().for_each(|flaw| flaws.push(flaw));
    match read {
        Ok(Ok(())) => {}
        Ok(Err(error)) => flaws.push(Flaw::table(name, error.to_string())),
        // redb takes what it reads at its word, here and there.
        Err(_) => flaws.push(Flaw::table(name, "it cannot be read to its end".to_owned())),
    }
}

fn damaged(table: &str, key: &[u8]) -> redb::Error {
    redb::Error::Corrupted(format!("the checksum of row {} in table {table} does not fit", hex::encode(key)))
}
