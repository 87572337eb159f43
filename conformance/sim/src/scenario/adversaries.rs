//! What do the hostile peers of the scenarios do?
//!
//! Each is a puppet: it sends over the same links and is judged by the same machines as anybody.

use std::collections::BTreeMap;
use std::time::Duration;

use preconf_core::{
    B256, Bytes, CommitmentsPage, GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, PreconfCommitment, Preconfirmation, Protocol,
    RawTxList, SIGNED_COMMITMENT_BYTES, SignedCommitment, Time, Topic, U256, keccak256,
};

use crate::{Answer, Hands, NodeId, Puppet, Server, Slot, block_of, gossip_of, txlist_of};

/// The highest block number that a puppet has heard of.
#[derive(Debug, Default)]
struct Ear {
    head: u64,
    txlists: Vec<B256>,
}

impl Ear {
    fn hear(&mut self, topic: Topic, data: &Bytes) {
        if topic == Topic::Commitments
            && let Ok(signed) = SignedCommitment::decode(data)
        {
            self.head = self.head.max(u64::try_from(signed.preconf().block_number).unwrap_or(0));
            self.txlists.push(signed.preconf().raw_tx_list_hash);
        }
    }
}

fn nothing(protocol: Protocol, body: &Bytes, head: u64) -> Answer {
    Answer::now(match protocol {
        Protocol::GetHead => Server::head_of(head),
        Protocol::GetCommitments => CommitmentsPage::encode([].iter()),
        Protocol::GetTxList => {
            let hash = GetTxListRequest::decode(body).map(|asked| asked.hash).unwrap_or_default();
            RawTxList { hash, txlist: Bytes::new() }.encode()
        }
    })
}

fn period(per_s: f64) -> Duration {
    Duration::from_secs_f64(1.0 / per_s.max(0.001))
}

/// Shows two halves of its peers two blocks, and serves nobody.
#[derive(Debug, Default)]
pub(crate) struct Equivocator {
    txlists: BTreeMap<B256, Bytes>,
}

impl Puppet for Equivocator {
    fn answer(&mut self, protocol: Protocol, body: &Bytes) -> Answer {
        let hash = GetTxListRequest::decode(body).map(|asked| asked.hash).unwrap_or_default();
        match (protocol, self.txlists.get(&hash)) {
            (Protocol::GetTxList, Some(txlist)) => Answer::now(RawTxList { hash, txlist: txlist.clone() }.encode()),
            _ => nothing(protocol, body, 0),
        }
    }

    fn elected(&mut self, slot: &Slot, hands: &mut Hands<'_>) {
        for side in [0, 1] {
            let txlist = txlist_of(slot, 64, side);
            let (signed, hash) = block_of(slot, Some(&txlist), slot.is_last);
            let commitment = Bytes::copy_from_slice(signed.as_bytes());
            for to in hands.peers.iter().copied().filter(|to| *to as u64 % 2 == side) {
                hands.gossip_to(to, Topic::TxLists, gossip_of(&txlist));
                hands.gossip_to(to, Topic::Commitments, commitment.clone());
            }
            self.txlists.insert(keccak256(&txlist), txlist);
            hands.published(slot, hash, slot.is_last);
        }
    }
}

/// Gossips commitments without their txlists, and hands those to the first who ask.
#[derive(Debug)]
pub(crate) struct Withholder {
    asks: u32,
    txlists: BTreeMap<B256, (Bytes, u32)>,
}

impl Withholder {
    pub(crate) fn new(asks: u32) -> Self {
        Self { asks, txlists: BTreeMap::new() }
    }
}

impl Puppet for Withholder {
    fn answer(&mut self, protocol: Protocol, body: &Bytes) -> Answer {
        let hash = GetTxListRequest::decode(body).map(|asked| asked.hash).unwrap_or_default();
        if let (Protocol::GetTxList, Some((txlist, left))) = (protocol, self.txlists.get_mut(&hash))
            && *left > 0
        {
            *left -= 1;
            return Answer::now(RawTxList { hash, txlist: txlist.clone() }.encode());
        }
        nothing(protocol, body, 0)
    }

    fn elected(&mut self, slot: &Slot, hands: &mut Hands<'_>) {
        let txlist = txlist_of(slot, 64, 2);
        let (signed, hash) = block_of(slot, Some(&txlist), slot.is_last);
        hands.gossip(Topic::Commitments, &Bytes::copy_from_slice(signed.as_bytes()));
        self.txlists.insert(keccak256(&txlist), (txlist, self.asks));
        hands.published(slot, hash, slot.is_last);
    }
}

/// Sends garbage of every kind, and comes back when it is thrown out.
#[derive(Debug)]
pub(crate) struct Flood {
    every: Duration,
    honest: usize,
    sent: u64,
}

impl Flood {
    pub(crate) fn new(per_s: f64, honest: usize) -> Self {
        Self { every: period(per_s), honest, sent: 0 }
    }
}

impl Puppet for Flood {
    fn answer(&mut self, _: Protocol, _: &Bytes) -> Answer {
        Answer::now(Bytes::from_static(&[0xff; 7]))
    }

    fn turn(&mut self, hands: &mut Hands<'_>) {
        hands.turn_after(self.every);
        self.sent += 1;
        let mut garbage: Vec<u8> = std::iter::repeat_with(|| hands.dice.seed()).take(12).flatten().collect();
        match self.sent % 6 {
            // A commitment's length, and its first byte, but nobody's signature (C6, C7).
            0 => {
                garbage.resize(SIGNED_COMMITMENT_BYTES, 0);
                garbage[0] = 1;
                hands.gossip_poison(Topic::Commitments, &garbage.into());
            }
            // C1
            1 => hands.gossip_poison(Topic::Commitments, &garbage.into()),
            // C3
            2 => {
                let preconf = Preconfirmation { block_number: U256::from(self.sent), ..Preconfirmation::default() };
                let signed = SignedCommitment::new(PreconfCommitment { preconf, ..PreconfCommitment::default() }, [1; 65]);
                hands.gossip_poison(Topic::Commitments, &Bytes::copy_from_slice(signed.as_bytes()));
            }
            // T4
            3 => hands.gossip_poison(Topic::TxLists, &RawTxList { hash: B256::repeat_byte(9), txlist: garbage.into() }.encode()),
            // T1
            4 => hands.gossip_poison(Topic::TxLists, &garbage.into()),
            // P3.4
            _ => {
                for to in hands.peers {
                    hands.break_frame(*to);
                }
            }
        }
        if self.sent.is_multiple_of(50) {
            (0..self.honest).filter(|node| !hands.peers.contains(node)).collect::<Vec<_>>().into_iter().for_each(|node| hands.dial(node));
        }
    }
}

/// Sends txlists that are right in themselves and that no commitment names.
#[derive(Debug)]
pub(crate) struct TxListFlood {
    every: Duration,
    len: usize,
    sent: u64,
}

impl TxListFlood {
    pub(crate) fn new(per_s: f64, len: usize) -> Self {
        Self { every: period(per_s), len, sent: 0 }
    }
}

impl Puppet for TxListFlood {
    fn answer(&mut self, protocol: Protocol, body: &Bytes) -> Answer {
        nothing(protocol, body, 0)
    }

    fn turn(&mut self, hands: &mut Hands<'_>) {
        hands.turn_after(self.every);
        self.sent += 1;
        let mut txlist = vec![0; self.len];
        txlist[..8].copy_from_slice(&self.sent.to_le_bytes());
        txlist[8..16].copy_from_slice(&(hands.me as u64).to_le_bytes());
        hands.gossip(Topic::TxLists, &gossip_of(&txlist.into()));
    }
}

/// Asks as much as it may, over a way that it hardly reads from, and never answers but for its head.
#[derive(Debug, Default)]
pub(crate) struct SlowReader {
    ear: Ear,
    turns: u64,
}

impl Puppet for SlowReader {
    fn answer(&mut self, protocol: Protocol, _: &Bytes) -> Answer {
        match protocol {
            Protocol::GetHead => Answer::now(Server::head_of(self.ear.head)),
            Protocol::GetCommitments | Protocol::GetTxList => Answer::Never,
        }
    }

    fn hear(&mut self, _: NodeId, topic: Topic, data: &Bytes, _: &mut Hands<'_>) {
        self.ear.hear(topic, data);
    }

    fn turn(&mut self, hands: &mut Hands<'_>) {
        hands.turn_after(Duration::from_millis(1_300)); // within P6.6
        self.turns += 1;
        let txlist = self.ear.txlists.last().copied().unwrap_or_default();
        for to in hands.peers.iter().copied() {
            hands.ask(to, Protocol::GetTxList, GetTxListRequest { hash: txlist }.encode());
            hands.ask(to, Protocol::GetHead, Bytes::from_static(&GetHeadRequest::BYTES));
            let page = GetCommitmentsRequest { start_block_number: U256::from(1 + self.turns % 8), max_count: 256 };
            hands.ask(to, Protocol::GetCommitments, page.encode());
        }
    }
}

/// Says that it has every block there can be and shows none, asks as much as it may and hardly reads it, and gossips lists of its own.
#[derive(Debug, Default)]
pub(crate) struct Stranger {
    asks: SlowReader,
    turns: u64,
}

impl Puppet for Stranger {
    fn answer(&mut self, protocol: Protocol, body: &Bytes) -> Answer {
        nothing(protocol, body, u64::MAX)
    }

    fn hear(&mut self, from: NodeId, topic: Topic, data: &Bytes, hands: &mut Hands<'_>) {
        self.asks.hear(from, topic, data, hands);
    }

    fn turn(&mut self, hands: &mut Hands<'_>) {
        self.asks.turn(hands);
        self.turns += 1;
        // Once more for a list: as many as either limiter admits.
        let hash = self.asks.ear.txlists.last().copied().unwrap_or_default();
        for to in hands.peers.iter().copied() {
            hands.ask(to, Protocol::GetTxList, GetTxListRequest { hash }.encode());
        }
        let junk = [self.turns.to_le_bytes(), (hands.me as u64).to_le_bytes()].concat();
        hands.gossip(Topic::TxLists, &gossip_of(&junk.into()));
    }
}

/// Claims a head that nobody has, and backs it with a page whose numbers are right and whose links are not.
#[derive(Debug, Default)]
pub(crate) struct Liar {
    ear: Ear,
}

impl Puppet for Liar {
    fn answer(&mut self, protocol: Protocol, body: &Bytes) -> Answer {
        match (protocol, GetCommitmentsRequest::decode(body)) {
            (Protocol::GetHead, _) => Answer::now(Server::head_of(self.ear.head + 1_000)),
            (Protocol::GetCommitments, Ok(asked)) => {
                let start = u64::try_from(asked.start_block_number).unwrap_or(0);
                let lie = |number: u64| {
                    let (raw_tx_list_hash, block_number) = (B256::repeat_byte(1), U256::from(number));
                    let preconf = Preconfirmation { block_number, raw_tx_list_hash, ..Preconfirmation::default() };
                    SignedCommitment::new(PreconfCommitment { preconf, ..PreconfCommitment::default() }, [1; 65])
                };
                let lies: Vec<_> = (start..start.saturating_add(u64::from(asked.max_count.min(64)))).map(lie).collect();
                Answer::now(CommitmentsPage::encode(lies.iter()))
            }
            (Protocol::GetCommitments | Protocol::GetTxList, _) => nothing(protocol, body, 0),
        }
    }

    fn hear(&mut self, _: NodeId, topic: Topic, data: &Bytes, _: &mut Hands<'_>) {
        self.ear.hear(topic, data);
    }
}

/// Dials whoever does not have it yet, again and again, and then says nothing.
#[derive(Debug)]
pub(crate) struct Sybil {
    honest: usize,
    begins: Duration,
    every: Duration,
}

impl Sybil {
    pub(crate) fn new(honest: usize, begins: Duration, every: Duration) -> Self {
        Self { honest, begins, every }
    }
}

impl Puppet for Sybil {
    fn answer(&mut self, protocol: Protocol, body: &Bytes) -> Answer {
        nothing(protocol, body, 0)
    }

    fn turn(&mut self, hands: &mut Hands<'_>) {
        let begins = Time::ZERO.after(self.begins);
        if hands.now < begins {
            return hands.turn_after(begins.since(hands.now));
        }
        hands.turn_after(self.every);
        (0..self.honest).filter(|node| !hands.peers.contains(node)).collect::<Vec<_>>().into_iter().for_each(|node| hands.dial(node));
    }
}
