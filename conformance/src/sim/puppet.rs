//! Peers that are no machines: they say what a test wants them to say.

use std::time::Duration;

use preconf_core::{
    Bytes, CommitmentsPage, GetCommitmentsRequest, GetTxListRequest, MAX_COMMITMENTS_PER_RESPONSE, PreconfHead, Protocol, RawTxList, U256,
};

use super::history::History;

/// What a puppet does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This body, after so long.
    After(Duration, Bytes),
    /// Closes the stream without an answer.
    Drop,
    /// Nothing, ever.
    Never,
}

impl Answer {
    /// This body, right away.
    pub fn now(body: Bytes) -> Self {
        Self::After(Duration::ZERO, body)
    }
}

/// A peer without a machine. The world checks that honest nodes keep to the limits of P6.6 towards it.
pub trait Puppet {
    /// A node asks something.
    fn answer(&mut self, protocol: Protocol, body: &Bytes) -> Answer;
}

impl<F: FnMut(Protocol, &Bytes) -> Answer> Puppet for F {
    fn answer(&mut self, protocol: Protocol, body: &Bytes) -> Answer {
        self(protocol, body)
    }
}

/// Serves a history honestly, up to a head. A lying puppet asks it for the truth and changes that.
#[derive(Clone, Debug)]
pub struct Server {
    history: History,
    /// The head that it has.
    pub head: u64,
}

impl Server {
    /// Serves the whole history.
    pub fn new(history: &History) -> Self {
        Self { history: history.clone(), head: history.head() }
    }

    /// Serves the history up to a block.
    pub fn up_to(history: &History, head: u64) -> Self {
        Self { history: history.clone(), head }
    }

    /// The answer to `get_head` that claims a head.
    pub fn head_of(number: u64) -> Bytes {
        PreconfHead { block_number: U256::from(number), submission_window_end: U256::ZERO }.encode()
    }

    /// The page of commitments that a request asks for.
    pub fn page(&self, body: &Bytes) -> Bytes {
        let asked = GetCommitmentsRequest::decode(body).ok();
        let start = asked.and_then(|asked| u64::try_from(asked.start_block_number).ok()).filter(|start| (1..=self.head).contains(start));
        let count = asked.map_or(0, |asked| asked.max_count as usize).min(MAX_COMMITMENTS_PER_RESPONSE);
        let from = start.map_or(self.head, |start| start - 1) as usize;
        let to = from.saturating_add(count).min(self.head as usize);
        CommitmentsPage::encode(self.history.blocks[from..to].iter().map(|block| &block.signed))
    }

    fn txlist(&self, body: &Bytes) -> Bytes {
        let hash = GetTxListRequest::decode(body).map(|asked| asked.hash).unwrap_or_default();
        let lists = self.history.blocks.iter().take(self.head as usize).filter_map(|block| block.txlist.as_ref());
        let found = lists.filter(|(name, _)| *name == hash).map(|(_, txlist)| txlist.clone()).next();
        RawTxList { hash, txlist: found.unwrap_or_default() }.encode()
    }
}

impl Puppet for Server {
    fn answer(&mut self, protocol: Protocol, body: &Bytes) -> Answer {
        Answer::now(match protocol {
            Protocol::GetHead => Self::head_of(self.head),
            Protocol::GetCommitments => self.page(body),
            Protocol::GetTxList => self.txlist(body),
        })
    }
}
