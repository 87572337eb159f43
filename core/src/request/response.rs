//! What does a response say, and is it what was asked for (P6.4)?
//!
//! Pure: what follows from it is decided elsewhere. A page is read up to its first bad item, and what stands before that keeps its worth.

use alloy_primitives::{Address, B256, U256};
use bytes::Bytes;

use crate::crypto;
use crate::error::Refusal;
use crate::validate::v1::commitment;
use crate::wire::v1::{CommitmentsPage, PreconfHead, RawTxList, SignedCommitment};

/// The good items at the front of a page, and the refusal of the first bad one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PageRead {
    pub(crate) items: Vec<SignedCommitment>,
    pub(crate) broken: Option<Refusal>,
}

/// A head (P6.1).
pub(crate) fn read_head(body: &Bytes) -> Result<PreconfHead, Refusal> {
    PreconfHead::decode(body).map_err(Refusal::Malformed)
}

/// P6.4: in range, in order, without a gap, not too many, each linked to the one before and good in itself.
pub(crate) fn read_page(body: &Bytes, start: u64, count: u32, slasher: Option<Address>) -> PageRead {
    let mut read = PageRead { items: Vec::new(), broken: None };
    let page = match CommitmentsPage::decode(body) {
        Ok(page) if page.len() > count as usize => {
            read.broken = Some(Refusal::NotAsked);
            return read;
        }
        Ok(page) => page,
        Err(error) => {
            read.broken = Some(Refusal::Malformed(error));
            return read;
        }
    };
    let mut last: Option<B256> = None;
    for (item, number) in page.iter().zip(start..) {
        let good = item.map_err(Refusal::Malformed).and_then(|item| {
            commitment::well_formed(&item, slasher)?;
            if item.preconf().block_number != U256::from(number) {
                return Err(Refusal::NotAsked);
            }
            if last.is_some_and(|last| last != item.preconf().parent_preconfirmation_hash) {
                return Err(Refusal::BrokenPage);
            }
            Ok(item)
        });
        match good {
            Ok(item) => {
                last = Some(crypto::preconfirmation_hash(&item));
                read.items.push(item);
            }
            Err(refusal) => {
                read.broken = Some(refusal);
                break;
            }
        }
    }
    read
}

/// A txlist of the hash that was asked for; without bytes where the peer does not have it (P6.3).
pub(crate) fn read_txlist(body: &Bytes, asked: B256, cap: usize) -> Result<RawTxList, Refusal> {
    let list = RawTxList::decode(body, cap).map_err(Refusal::Malformed)?;
    if list.hash == asked { Ok(list) } else { Err(Refusal::NotAsked) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{PreconfCommitment, Preconfirmation};

    /// Blocks with these numbers, each on the one before.
    fn blocks(numbers: &[u64]) -> Vec<SignedCommitment> {
        let mut parent = B256::ZERO;
        let block = |number: &u64| {
            let preconf = Preconfirmation {
                block_number: U256::from(*number),
                raw_tx_list_hash: B256::repeat_byte(7),
                parent_preconfirmation_hash: parent,
                ..Preconfirmation::default()
            };
            let signed = SignedCommitment::new(PreconfCommitment { preconf, ..PreconfCommitment::default() }, [1; 65]);
            parent = crypto::preconfirmation_hash(&signed);
            signed
        };
        numbers.iter().map(block).collect()
    }

    fn read(items: &[SignedCommitment], start: u64, count: u32) -> (usize, Option<Refusal>) {
        let read = read_page(&CommitmentsPage::encode(items.iter()), start, count, None);
        assert_eq!(read.items, items[..read.items.len()]);
        (read.items.len(), read.broken)
    }

    #[test]
    fn p6_4_a_page_in_range_in_order_and_linked_is_good_and_may_be_short_or_empty() {
        let chain = blocks(&[5, 6, 7]);
        assert_eq!(read(&chain, 5, 3), (3, None));
        assert_eq!(read(&chain[..1], 5, 3), (1, None));
        assert_eq!(read(&[], 5, 3), (0, None));
    }

    #[test]
    fn p6_4_what_stands_before_the_first_bad_item_is_kept() {
        let chain = blocks(&[5, 6, 7]);
        assert_eq!(read(&chain, 4, 3), (0, Some(Refusal::NotAsked)), "another start");
        assert_eq!(read(&chain, 5, 2), (0, Some(Refusal::NotAsked)), "too many");
        assert_eq!(read(&blocks(&[5, 7]), 5, 3), (1, Some(Refusal::NotAsked)), "a gap");
        assert_eq!(read(&[chain[0].clone(), chain[1].clone(), blocks(&[7]).remove(0)], 5, 3), (2, Some(Refusal::BrokenPage)), "no link");
        let broken = read_page(&Bytes::from_static(&[4, 0, 0]), 5, 3, None);
        assert!(broken.items.is_empty() && matches!(broken.broken, Some(Refusal::Malformed(_))));
        let elsewhere = read_page(&CommitmentsPage::encode(chain.iter()), 5, 3, Some(Address::repeat_byte(9)));
        assert_eq!((elsewhere.items.len(), elsewhere.broken), (0, Some(Refusal::WrongSlasher)));
    }

    #[test]
    fn p6_4_a_txlist_must_be_the_one_that_was_asked_for_and_fit() {
        let list = RawTxList { hash: B256::repeat_byte(1), txlist: Bytes::from_static(&[7; 10]) };
        assert_eq!(read_txlist(&list.encode(), list.hash, 10), Ok(list.clone()));
        assert_eq!(read_txlist(&list.encode(), B256::ZERO, 10), Err(Refusal::NotAsked));
        assert!(matches!(read_txlist(&list.encode(), list.hash, 9), Err(Refusal::Malformed(_))));
        let nothing = RawTxList { txlist: Bytes::new(), ..list };
        assert_eq!(read_txlist(&nothing.encode(), nothing.hash, 10), Ok(nothing), "P6.3: not found");
    }
}
