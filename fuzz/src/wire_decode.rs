//! Bytes against every decoder: what is accepted encodes to itself, and what follows from it does not panic.

use preconf_core::{
    Bytes, ChainId, CommitmentsPage, DecodeError, GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, MAX_TXLIST_BYTES, PreconfHead,
    RawTxList, SignedCommitment, Topic, message_id, preconfirmation_hash,
};

/// A container of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Container {
    /// A signed commitment.
    SignedCommitment,
    /// A txlist in gossip or in a response.
    RawTxList,
    /// The request for a head.
    GetHeadRequest,
    /// A head.
    PreconfHead,
    /// The request for commitments.
    GetCommitmentsRequest,
    /// A page of commitments whose items are all well formed.
    CommitmentsPage,
    /// The request for a txlist.
    GetTxListRequest,
}

/// Reads bytes as every container in turn. Says as which ones they are well formed.
///
/// # Panics
/// Something accepted does not encode to itself, or a rule between two functions of the core does not hold.
pub fn wire_decode(data: &[u8]) -> Vec<Container> {
    let data = Bytes::copy_from_slice(data);
    for topic in Topic::ALL {
        message_id(ChainId(167_000), topic, &data); // P4.5: a name for any bytes at all
    }
    let read = [
        (Container::SignedCommitment, SignedCommitment::decode(&data).map(|signed| commitment(&signed))),
        (Container::RawTxList, RawTxList::decode(&data, MAX_TXLIST_BYTES).map(|list| list.encode())),
        (Container::GetHeadRequest, GetHeadRequest::decode(&data).map(|_| Bytes::from_static(&GetHeadRequest::BYTES))),
        (Container::PreconfHead, PreconfHead::decode(&data).map(|head| head.encode())),
        (Container::GetCommitmentsRequest, GetCommitmentsRequest::decode(&data).map(|request| request.encode())),
        (Container::CommitmentsPage, page(&data)),
        (Container::GetTxListRequest, GetTxListRequest::decode(&data).map(|request| request.encode())),
    ];
    let accepted = read.into_iter().filter_map(|(container, written)| Some((container, written.ok()?)));
    accepted
        .map(|(container, written)| {
            assert_eq!(written, data, "P3.1: {container:?} does not encode to what it was read from");
            container
        })
        .collect()
}

/// Written anew from its fields, once all that is said about a commitment was asked.
fn commitment(signed: &SignedCommitment) -> Bytes {
    let anew = SignedCommitment::new(signed.commitment().clone(), *signed.signature());
    assert_eq!(preconfirmation_hash(&anew), preconfirmation_hash(signed), "P3.2: the bytes from the wire are those of the fields");
    Bytes::copy_from_slice(anew.as_bytes())
}

fn page(data: &Bytes) -> Result<Bytes, DecodeError> {
    let page = CommitmentsPage::decode(data)?;
    assert_eq!(page.iter().len(), page.len());
    let items: Vec<SignedCommitment> = page.iter().collect::<Result<_, _>>()?;
    Ok(CommitmentsPage::encode(items.iter()))
}
