//! Peers that are no machines: they say what a test wants them to say.
//!
//! A [`Puppet`] answers requests; one that does more overrides the other methods and gives orders through [`Hands`]. What it does goes over
//! the same links, meshes and limits as anybody's.

use std::time::Duration;

use preconf_core::{
    B256, Bytes, CommitmentsPage, GetCommitmentsRequest, GetTxListRequest, MAX_COMMITMENTS_PER_RESPONSE, PreconfHead, Protocol, RawTxList,
    SecretKey, Time, Topic, U256, Window,
};

use super::dice::Dice;
use super::history::History;
use super::node::NodeId;

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

    /// Its first turn, and every later one that it asked for with [`Hands::turn_after`].
    fn turn(&mut self, hands: &mut Hands<'_>) {
        let _ = hands;
    }

    /// A gossip message reaches it. It forwards nothing of itself.
    fn hear(&mut self, from: NodeId, topic: Topic, data: &Bytes, hands: &mut Hands<'_>) {
        let _ = (from, topic, data, hands);
    }

    /// It holds a seat among the preconfers, and its turn to make a block has come.
    fn elected(&mut self, slot: &Slot, hands: &mut Hands<'_>) {
        let _ = (slot, hands);
    }
}

impl<F: FnMut(Protocol, &Bytes) -> Answer> Puppet for F {
    fn answer(&mut self, protocol: Protocol, body: &Bytes) -> Answer {
        self(protocol, body)
    }
}

/// What a preconfer needs to make a block.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Its key.
    pub key: SecretKey,
    /// Its window.
    pub window: Window,
    /// Number of the block to make.
    pub number: u64,
    /// The block before it.
    pub parent: B256,
    /// Its time, in unix seconds.
    pub timestamp: u64,
    /// Is it the last one of its window?
    pub is_last: bool,
}

/// What a puppet can do.
pub struct Hands<'a> {
    /// The world's time.
    pub now: Time,
    /// The puppet.
    pub me: NodeId,
    /// Who is connected to it.
    pub peers: &'a [NodeId],
    /// The world's dice.
    pub dice: &'a mut Dice,
    pub(crate) orders: Vec<Order>,
}

/// What a puppet wants done.
#[derive(Debug)]
pub(crate) enum Order {
    Gossip { to: Vec<NodeId>, topic: Topic, data: Bytes, is_poison: bool },
    Ask { to: NodeId, protocol: Protocol, body: Bytes },
    BreakFrame { to: NodeId },
    Dial { to: NodeId },
    Turn { after: Duration },
    Published { number: u64, hash: B256, parent: B256, timestamp: u64, window_end: u64, eop: bool },
}

impl Hands<'_> {
    /// Sends a gossip message to one peer.
    pub fn gossip_to(&mut self, to: NodeId, topic: Topic, data: Bytes) {
        self.orders.push(Order::Gossip { to: vec![to], topic, data, is_poison: false });
    }

    /// Sends a gossip message to every peer.
    pub fn gossip(&mut self, topic: Topic, data: &Bytes) {
        self.orders.push(Order::Gossip { to: self.peers.to_vec(), topic, data: data.clone(), is_poison: false });
    }

    /// Sends to every peer what no honest node may ever accept: the world fails if one does.
    pub fn gossip_poison(&mut self, topic: Topic, data: &Bytes) {
        self.orders.push(Order::Gossip { to: self.peers.to_vec(), topic, data: data.clone(), is_poison: true });
    }

    /// Asks a peer something; its answer goes unheard.
    pub fn ask(&mut self, to: NodeId, protocol: Protocol, body: Bytes) {
        self.orders.push(Order::Ask { to, protocol, body });
    }

    /// Sends a peer a request that is no frame (P3.4).
    pub fn break_frame(&mut self, to: NodeId) {
        self.orders.push(Order::BreakFrame { to });
    }

    /// Dials a node at its address.
    pub fn dial(&mut self, to: NodeId) {
        self.orders.push(Order::Dial { to });
    }

    /// Asks for another turn.
    pub fn turn_after(&mut self, after: Duration) {
        self.orders.push(Order::Turn { after });
    }

    /// Says that it made a block, so that L1 may take it.
    pub fn published(&mut self, slot: &Slot, hash: B256, eop: bool) {
        let Slot { number, parent, timestamp, window, .. } = *slot;
        self.orders.push(Order::Published { number, hash, parent, timestamp, window_end: window.end, eop });
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
