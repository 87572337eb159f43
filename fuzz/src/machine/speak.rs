//! What do peers say to a node, and its application?

use std::time::Duration;

use preconf_core::{
    Bytes, ChannelId, Command, CommitmentsPage, ConnectionId, Core, DialFailure, DialId, Found, GetCommitmentsRequest, GetHeadRequest,
    GetTxListRequest, Input, JobDone, JobId, Now, Outcome, PeerId, PreconfHead, Protocol, PublishId, PublishOutcome, RawTxList,
    RequestFailure, RequestId, SignedCommitment, SyncTip, Topic, U256, Update, Window, keccak256, message_id,
};

use super::bench::{Bench, Sent};
use super::material::{BLOCKS, CHAIN, GENESIS, Item, Material, Nature, spoil};

/// How long a wait is: to the next deadline, to right before it, or one of the spans that rules speak of.
pub(crate) const WAITS: [Duration; 12] = [
    Duration::ZERO,
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(600),
    Duration::from_secs(3_600),
    Duration::from_secs(86_400 * 365),
];

/// What peers can ask: a head, a page, a txlist.
pub(crate) const ASKED: [Protocol; 3] = Protocol::ALL;

/// A wait of [`WAITS`].
pub(crate) fn wait(which: u8, core: &Core, now: Now) -> Duration {
    let next = core.poll_timeout().map_or(Duration::ZERO, |(at, _)| at.since(now.mono));
    match usize::from(which) % WAITS.len() {
        0 => next,
        1 => next.saturating_sub(Duration::from_micros(1)),
        span => WAITS[span],
    }
}

fn pick<T>(things: &[T], which: usize) -> &T {
    &things[which % things.len()]
}

impl Bench {
    fn hear(&mut self, peer: PeerId, topic: Topic, data: Bytes, nature: Nature) {
        let message = message_id(CHAIN, topic, &data);
        self.oracle.hears(message, peer, nature);
        self.input(Input::GossipReceived { peer, message, topic, data });
    }

    pub(crate) fn hear_commitment(&mut self, from: PeerId, which: usize, how: u8) {
        let Item { signed, nature, .. } = pick(&Material::get().items, which);
        let nature = if how == 0 { *nature } else { Nature::Bad };
        self.hear(from, Topic::Commitments, spoil(signed.as_bytes(), how), nature);
        self.reached.held = self.reached.held.max(self.core.status(self.now).held);
    }

    /// As it is, or with another byte in it.
    pub(crate) fn hear_txlist(&mut self, from: PeerId, which: usize, how: u8) {
        let (hash, txlist) = pick(&Material::get().txlists, which).clone();
        // 36 bytes that say whose txlist it is, and nothing more, are in order: an empty txlist is only ignored (T1).
        let data = spoil(&RawTxList { hash, txlist }.encode(), how);
        let nature = if how == 0 || data.len() == 36 { Nature::Signed } else { Nature::Bad };
        self.hear(from, Topic::TxLists, data, nature);
    }

    pub(crate) fn hear_noise(&mut self, from: PeerId, which: u8, how: u8) {
        self.hear(from, *pick(&Topic::ALL, usize::from(which)), vec![which; 3 * usize::from(how)].into(), Nature::Bad);
    }

    /// As a peer does that has the chain up to some block, or all of it.
    pub(crate) fn answer(&mut self, which: usize, how: u8) {
        if self.sent.is_empty() {
            return;
        }
        let Sent { request, protocol, body } = self.sent.remove(which % self.sent.len());
        let material = Material::get();
        let height = BLOCKS - u64::from(how) % (BLOCKS + 1);
        let body = match protocol {
            Protocol::GetHead => PreconfHead { block_number: U256::from(height), ..PreconfHead::default() }.encode(),
            Protocol::GetCommitments => {
                let asked = GetCommitmentsRequest::decode(&body).expect("P6.7: what we ask is well formed");
                let start = asked.start_block_number.saturating_to::<u64>();
                let room = height.saturating_add(1).saturating_sub(start).min(u64::from(asked.max_count));
                CommitmentsPage::encode(material.chain_from(start, room as usize).iter().map(|item| &item.signed))
            }
            Protocol::GetTxList => {
                let hash = GetTxListRequest::decode(&body).expect("P6.7: what we ask is well formed").hash;
                let found = material.txlists.iter().find(|(of, _)| *of == hash).filter(|_| how == 0);
                RawTxList { hash, txlist: found.map(|(_, list)| list.clone()).unwrap_or_default() }.encode()
            }
        };
        self.input(Input::ResponseReceived { request, body });
    }

    pub(crate) fn answer_badly(&mut self, which: usize, how: u8) {
        use RequestFailure::{BadFrame, Closed, Timeout, Unreachable, Unsupported};
        if self.sent.is_empty() {
            return;
        }
        let Sent { request, protocol, body } = self.sent.remove(which % self.sent.len());
        let material = Material::get();
        let items = &material.items;
        let number = |offset: u8| usize::from(how.wrapping_sub(offset));
        let body = match (how, protocol) {
            (0..5, _) => {
                let failure = [Timeout, Closed, Unreachable, Unsupported, BadFrame][usize::from(how)];
                return self.input(Input::RequestFailed { request, failure });
            }
            (5..20, _) => Bytes::from(vec![4; number(5)]),
            (_, Protocol::GetHead) => {
                let claims = [U256::MAX, U256::from(u64::MAX), U256::from(5_000), U256::from(BLOCKS + 9), U256::ZERO];
                PreconfHead { block_number: *pick(&claims, number(20)), ..PreconfHead::default() }.encode()
            }
            (_, Protocol::GetCommitments) => {
                let asked = GetCommitmentsRequest::decode(&body).expect("P6.7: what we ask is well formed");
                let start = asked.start_block_number.saturating_to::<u64>();
                let mut page: Vec<_> = material.chain_from(start, asked.max_count as usize).iter().map(|item| &item.signed).collect();
                // One item is another one, one is missing, or one is there twice.
                let at = usize::from(how) % page.len().max(1);
                match how % 3 {
                    0 if !page.is_empty() => page[at] = &pick(items, number(0)).signed,
                    1 if !page.is_empty() => drop(page.remove(at)),
                    _ => page.insert(at, &pick(items, number(0)).signed),
                }
                spoil(&CommitmentsPage::encode(page.into_iter()), if how > 200 { how } else { 0 })
            }
            (_, Protocol::GetTxList) => {
                let hash = GetTxListRequest::decode(&body).expect("P6.7: what we ask is well formed").hash;
                let (other, txlist) = pick(&material.txlists, number(0)).clone();
                RawTxList { hash: if how.is_multiple_of(2) { hash } else { other }, txlist }.encode()
            }
        };
        self.input(Input::ResponseReceived { request, body });
    }

    pub(crate) fn be_asked(&mut self, from: PeerId, which: u8, how: u8) {
        let protocol = *pick(&ASKED, usize::from(which));
        let material = Material::get();
        let body = match protocol {
            _ if how >= 240 => spoil(&GetHeadRequest::BYTES, how),
            Protocol::GetHead => Bytes::from_static(&GetHeadRequest::BYTES),
            Protocol::GetCommitments => {
                let counts = [256, 3, 1, 0, u32::MAX];
                let start_block_number = if how == 239 { U256::MAX } else { U256::from(how % 32) };
                GetCommitmentsRequest { start_block_number, max_count: *pick(&counts, usize::from(how / 32)) }.encode()
            }
            Protocol::GetTxList => GetTxListRequest { hash: pick(&material.txlists, usize::from(how)).0 }.encode(),
        };
        let channel = ChannelId(self.mint());
        self.oracle.is_asked(channel, protocol, &body);
        self.input(Input::RequestReceived { peer: from, channel, protocol, body });
    }

    pub(crate) fn published(&mut self, which: usize, how: u8) {
        use PublishOutcome::{Busy, Duplicate, NoPeers, Refused, Sent};
        if self.publishes.is_empty() {
            return;
        }
        let publish = self.publishes.remove(which % self.publishes.len());
        let outcome = *pick(&[Sent, NoPeers, Busy, Duplicate, Refused], usize::from(how));
        self.input(Input::PublishFinished { publish, outcome });
    }

    pub(crate) fn publish_commitment(&mut self, which: usize, how: u8) {
        let signed = pick(&Material::get().items, which).signed.clone();
        let signed = SignedCommitment::decode(&spoil(signed.as_bytes(), how)).unwrap_or(signed);
        self.command(Command::PublishCommitment(Box::new(signed)));
    }

    /// A commitment and the txlist that it names, or another one.
    pub(crate) fn publish_block(&mut self, which: usize, how: u8) {
        let material = Material::get();
        let commitment = Box::new(pick(&material.items, which).signed.clone());
        let named = material.txlists.iter().find(|(hash, _)| *hash == commitment.preconf().raw_tx_list_hash);
        let other = pick(&material.txlists, usize::from(how));
        let (_, txlist) = named.filter(|_| how.is_multiple_of(2)).unwrap_or(other).clone();
        self.command(Command::PublishBlock { commitment, txlist });
    }

    /// P5.9b: our operator lets it publish in the window of a commitment.
    pub(crate) fn override_syncing(&mut self, which: usize) {
        let window_end = pick(&Material::get().items, which).signed.preconf().submission_window_end.saturating_to();
        self.update(Update::OverrideSyncing { window_end });
    }

    pub(crate) fn publish_txlist(&mut self, which: usize, how: u8) {
        let txlist = pick(&Material::get().txlists, which).1.clone();
        self.command(Command::PublishTxList(if how == 1 { Bytes::new() } else { spoil(&txlist, how) }));
    }

    pub(crate) fn fetch(&mut self, from: PeerId, which: u8, how: u8) {
        let peer = how.is_multiple_of(2).then_some(from);
        let (start, hash) = (u64::from(how / 2) % 32, pick(&Material::get().txlists, usize::from(how / 2)).0);
        let counts = [256, 1, 0, 257];
        self.command(match which % 3 {
            0 => Command::GetHead { peer },
            1 => Command::GetCommitments { start, count: *pick(&counts, usize::from(which / 3)), peer },
            _ => Command::GetTxList { hash, peer },
        });
    }

    /// To a block of the chain, with its hash, without one, or with one that is wrong.
    pub(crate) fn move_tip(&mut self, which: u8, how: u8) {
        let material = Material::get();
        let number = u64::from(which) % (BLOCKS + 2);
        let hash = number.checked_sub(1).map_or(Some(&GENESIS), |at| material.hashes.get(at as usize)).copied();
        let tip = match how % 4 {
            0 => SyncTip { block_number: number, preconfirmation_hash: hash },
            1 => SyncTip { block_number: number, preconfirmation_hash: None },
            2 => SyncTip { block_number: number, preconfirmation_hash: Some(keccak256([which])) },
            _ => SyncTip { block_number: *pick(&[400, 700, u64::MAX - 1, u64::MAX], usize::from(which)), preconfirmation_hash: None },
        };
        // What it said before is judged by the tip that held then.
        self.take_outputs();
        self.oracle.moves_tip(tip);
        self.update(Update::MoveSyncTip(tip));
    }

    pub(crate) fn execute(&mut self, which: u8, how: u8) {
        let block_number = u64::from(which) % (BLOCKS + 2);
        self.update(if how.is_multiple_of(2) { Update::MarkExecuted { block_number } } else { Update::MarkFailed { block_number } });
    }

    pub(crate) fn schedule(&mut self, which: u8) {
        let mut windows = Material::get().windows.clone();
        let far = windows.last().map_or(0, |last| last.end);
        match which % 10 {
            0 => {}
            1 => windows.truncate(2),
            2 => windows.truncate(1),
            3 => windows.iter_mut().for_each(|window| window.settled_at = None),
            4 => windows = vec![Window { start: far, end: far + 6_000, ..windows[0] }],
            5 => windows.iter_mut().for_each(|window| window.preconfer = Material::get().nobody),
            6 => windows.swap(0, 1),
            7 => windows[0].end = windows[0].start,
            8 => windows = vec![Window { start: windows[0].start + 100, end: windows[0].end + 100, ..windows[0] }],
            _ => windows = (0..4_097).map(|at| Window { start: far + at, end: far + at + 1, ..windows[0] }).collect(),
        }
        self.oracle.schedule_lies |= matches!(which % 10, 5 | 8);
        self.learn_schedule(windows);
    }

    pub(crate) fn learn_schedule(&mut self, windows: Vec<Window>) {
        // Known before: what waits for it is judged within the call.
        self.oracle.learns(&windows);
        self.update(Update::Schedule(windows));
    }

    /// Ids that were never given out, or were used up.
    pub(crate) fn stray(&mut self, from: PeerId, which: u8, how: u8) {
        let id = u64::from(how) + 100_000;
        let request = RequestId(if how.is_multiple_of(2) { id } else { u64::from(how) });
        let known = self.sent.iter().any(|sent| sent.request == request);
        match which % 7 {
            0 if !known => self.input(Input::ResponseReceived { request, body: vec![how; 64].into() }),
            1 if !known => self.input(Input::RequestFailed { request, failure: RequestFailure::Timeout }),
            2 => self.input(Input::ChannelClosed { channel: ChannelId(id) }),
            3 => self.input(Input::PublishFinished { publish: PublishId(id), outcome: PublishOutcome::Sent }),
            4 => self.input(Input::JobFinished(JobDone { id: JobId(id), found: Found::Signer(None) })),
            5 => self.input(Input::JobFinished(JobDone { id: JobId(id), found: Found::Hash(keccak256([how])) })),
            6 => self.input(Input::DialFailed { dial: DialId(id), failure: DialFailure::Unreachable }),
            _ => self.input(Input::ConnectionClosed { peer: from, connection: ConnectionId(id) }),
        }
    }

    pub(crate) fn note_outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Published(_) => self.reached.published += 1,
            Outcome::Head { .. } | Outcome::Commitments { .. } | Outcome::TxList { .. } => self.reached.fetched += 1,
            Outcome::NotPublished(error) => assert!(!error.to_string().is_empty()),
            Outcome::RequestFailed { error, .. } => assert!(!error.to_string().is_empty()),
            Outcome::Gated(refusal) => assert!(!refusal.to_string().is_empty()),
            Outcome::Connected(_) | Outcome::NotConnected(_) => {}
        }
    }
}
