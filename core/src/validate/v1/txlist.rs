//! Is a txlist good in itself (T1)?
//!
//! Called by the pipeline in `txlists`. Its hash (T4) is slow and leaves as a job.

use bytes::Bytes;

use crate::error::Refusal;
use crate::wire::v1::{DecodeError, RawTxList};

/// T1 of a list that needs no decoding: our own.
pub(crate) fn fits(list: &RawTxList, cap: usize) -> Result<(), Refusal> {
    let len = list.txlist.len();
    if len > cap {
        Err(Refusal::Malformed(DecodeError::TooLong { len, max: cap }))
    } else if len == 0 {
        Err(Refusal::EmptyTxList)
    } else {
        Ok(())
    }
}

/// T1: the container, within the cap, not empty.
pub(crate) fn shape(bytes: &Bytes, cap: usize) -> Result<RawTxList, Refusal> {
    let list = RawTxList::decode(bytes, cap).map_err(Refusal::Malformed)?;
    fits(&list, cap)?;
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    #[test]
    fn an_empty_list_is_ignored_and_a_long_one_refused() {
        // T1
        let encoded = |len: usize| RawTxList { hash: B256::ZERO, txlist: vec![7; len].into() }.encode();
        assert_eq!(shape(&encoded(0), 4), Err(Refusal::EmptyTxList));
        assert!(shape(&encoded(4), 4).is_ok());
        assert_eq!(shape(&encoded(5), 4), Err(Refusal::Malformed(DecodeError::TooLong { len: 5, max: 4 })));
    }
}
