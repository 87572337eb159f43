//! What must hold of whatever a machine says?
//!
//! A second look at every output, naive on purpose: it keeps lists, asks the rules of PROTOCOL.md one by one, and knows nothing of how the
//! machine does it. Where a command made a rule moot (a sync tip that contradicts the chain, a schedule that elects somebody else), it
//! stops asking that rule instead of guessing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use preconf_core::{
    Accepted, Action, ChannelId, Cidr, CommandId, CommitmentsPage, DEFAULT_DOMAIN, Event, Evidence, MessageId, Output, POINT, PeerId,
    Preconfirmation, Protocol, Refusal, RequestId, Response, Source, SyncTip, Topic, U256, Verdict, Window, is_high_s, keccak256,
};
use preconf_core::{B256, GetCommitmentsRequest, PersistId, Record, SignedCommitment, preconfirmation_hash};

use super::material::{Nature, SLASHER, signer};

/// What was said about a message when it was handed over.
#[derive(Clone, Copy, Debug)]
struct Open {
    copies: u32,
    nature: Nature,
}

/// What a machine has said, and what it owes.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    open: BTreeMap<(MessageId, PeerId), Open>,
    commands: BTreeSet<CommandId>,
    requests: BTreeSet<RequestId>,
    asked_of_us: BTreeMap<ChannelId, (Protocol, Option<GetCommitmentsRequest>)>,
    accepted: BTreeMap<B256, Preconfirmation>,
    at: BTreeMap<u64, B256>,
    tip: SyncTip,
    /// The sync tip was moved: what was dropped below it may come back, linked to it alone.
    pub(crate) tip_moved: bool,
    /// A schedule was given that elects somebody else.
    pub(crate) schedule_lies: bool,
    windows: Vec<Window>,
    next_ready: Option<u64>,
    /// What its own application committed to, restarts included, by window and number (P5.9).
    said: BTreeMap<(u64, u64), B256>,
    max_said: usize,
    /// Words of its own that are being written, and that are on disk (P5.9a).
    writing: BTreeMap<PersistId, B256>,
    recorded: BTreeSet<B256>,
    proven: BTreeSet<(B256, B256)>,
    /// Where peers see the node, and which neighbourhoods they were dialed in.
    seen: BTreeSet<(IpAddr, Cidr)>,
}

impl Oracle {
    pub(crate) fn new(max_said: usize) -> Self {
        Self { max_said, ..Self::default() }
    }

    /// A new life: only what was kept counts.
    pub(crate) fn restart(&mut self) {
        let (said, windows) = (std::mem::take(&mut self.said), std::mem::take(&mut self.windows));
        *self = Self { said, windows, schedule_lies: self.schedule_lies, ..Self::new(self.max_said) };
    }

    /// What was accepted before a restart need not be accepted again.
    pub(crate) fn restores(&mut self, kept: &[Record]) {
        for record in kept {
            match record {
                Record::Commitment(accepted) => drop(self.accepted.insert(accepted.hash, accepted.signed.preconf().clone())),
                Record::SyncTip(tip) => self.moves_tip(*tip),
                Record::Committed(own) => drop(self.recorded.insert(own.hash())),
                _ => {}
            }
        }
    }

    /// The process starts on a new disk, and knows no more what it has said.
    pub(crate) fn loses_disk(&mut self) {
        self.said.clear();
    }

    /// Before it is said: a record is on disk.
    pub(crate) fn persists(&mut self, id: PersistId) {
        self.recorded.extend(self.writing.remove(&id));
    }

    pub(crate) fn hears(&mut self, message: MessageId, peer: PeerId, nature: Nature) {
        self.open.entry((message, peer)).or_insert(Open { copies: 0, nature }).copies += 1;
    }

    pub(crate) fn is_asked(&mut self, channel: ChannelId, protocol: Protocol, body: &[u8]) {
        self.asked_of_us.insert(channel, (protocol, GetCommitmentsRequest::decode(body).ok()));
    }

    /// Before it is said: a peer that was dialed at `from` sees the node at an address.
    pub(crate) fn hears_address(&mut self, from: IpAddr, address: IpAddr) {
        let from = from.to_canonical();
        self.seen.insert((address.to_canonical(), Cidr::around(from, if from.is_ipv4() { 24 } else { 56 })));
    }

    pub(crate) fn commands(&mut self, command: CommandId) {
        assert!(self.commands.insert(command), "a command's id is used twice");
    }

    pub(crate) fn learns(&mut self, windows: &[Window]) {
        self.windows.extend(windows);
    }

    pub(crate) fn moves_tip(&mut self, tip: SyncTip) {
        (self.tip, self.tip_moved, self.next_ready) = (tip, true, None);
        self.at.clear();
    }

    /// Looks at one output.
    pub(crate) fn sees(&mut self, output: &Output) {
        match output {
            Output::Net(action) => self.action(action),
            Output::App(event) => self.event(event),
            Output::Persist { id, record: Record::Committed(own) } => drop(self.writing.insert(*id, own.hash())),
            Output::Job(_) | Output::Persist { .. } => {}
        }
    }

    /// What is still owed when nothing is under way any more.
    pub(crate) fn owes(&self) -> Option<String> {
        if let Some(((message, peer), open)) = self.open.first_key_value() {
            return Some(format!("{} verdicts on {message} from {peer}", open.copies));
        }
        if let Some(command) = self.commands.first() {
            return Some(format!("the end of command {command}"));
        }
        self.asked_of_us.first_key_value().map(|(channel, _)| format!("an answer or none on channel {channel}"))
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::ReportGossip { message, peer, verdict } => self.verdict(*message, *peer, *verdict),
            Action::SendRequest { request, .. } => assert!(self.requests.insert(*request), "P6.5: a request's id is used twice"),
            Action::Respond { channel, response } => {
                let asked = self.asked_of_us.remove(channel).expect("an answer to what was asked, and one only");
                answers(asked, response);
            }
            Action::DropRequest { channel } => {
                self.asked_of_us.remove(channel).expect("one end of what was asked");
            }
            Action::SetScore { score, .. } => assert!(score.abs() <= 10 * POINT, "P7.1: a score of {score}"),
            Action::AdvertiseAddress { address } => {
                let agree = self.seen.iter().filter(|(said, _)| said == address).count();
                assert!(agree >= 3, "P8.11: {address} is believed of {agree} neighbourhoods");
            }
            Action::Publish { topic: Topic::Commitments, data, .. } => {
                let signed = SignedCommitment::decode(data).expect("P5.7: what leaves is well formed");
                assert!(self.recorded.contains(&preconfirmation_hash(&signed)), "P5.9a: it leaves before the record of it is on disk");
            }
            Action::Publish { .. }
            | Action::CancelRequest { .. }
            | Action::Dial { .. }
            | Action::LookUp { .. }
            | Action::Introduce { .. }
            | Action::Disconnect { .. }
            | Action::CloseConnection { .. }
            | Action::Block { .. }
            | Action::Unblock { .. } => {}
        }
    }

    fn verdict(&mut self, message: MessageId, peer: PeerId, verdict: Verdict) {
        let open = self.open.get_mut(&(message, peer)).expect("a verdict on what came, and one only");
        match (open.nature, verdict) {
            (Nature::Signed, Verdict::Reject) => assert!(self.schedule_lies || self.tip_moved, "P5: {message} is no fault of its peer's"),
            (Nature::Bad, Verdict::Accept) => assert!(self.schedule_lies || self.tip_moved, "P5: {message} breaks a rule and is accepted"),
            (Nature::HighS, Verdict::Accept | Verdict::Reject) => {
                assert!(self.schedule_lies, "P4.4: {message} has the high-s form, and the verdict is {verdict:?}");
            }
            (Nature::Signed | Nature::Bad | Nature::HighS, Verdict::Ignore)
            | (Nature::Signed, Verdict::Accept)
            | (Nature::Bad, Verdict::Reject) => {}
        }
        open.copies -= 1;
        if open.copies == 0 {
            self.open.remove(&(message, peer));
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::PublishingAgain { command, .. } => self.commands(*command),
            Event::CommandFinished { command, .. } => assert!(self.commands.remove(command), "command {command} ends twice"),
            Event::CommitmentAccepted { commitment, source } => self.accepts(commitment, *source),
            Event::BlockReady { commitment, txlist } => {
                let number = commitment.block_number;
                assert!(
                    self.next_ready.is_none_or(|next| next == number),
                    "P5.5: block {number} is ready where {:?} is next",
                    self.next_ready
                );
                self.next_ready = number.checked_add(1);
                let named = commitment.signed.preconf().raw_tx_list_hash;
                assert_eq!(txlist.as_ref().map_or(B256::ZERO, keccak256), named, "P5.5: another txlist than it names");
            }
            Event::ExecuteAgain { .. } | Event::ExecutionFailed { .. } => self.next_ready = None,
            Event::EvidenceFound { evidence, signer, .. } => self.proves(evidence, *signer),
            Event::MessageRefused { refusal, topic, .. } => {
                assert!(*refusal != Refusal::HighS || *topic == Some(Topic::Commitments), "C7 is a rule on commitments");
            }
            Event::Forked { canonical, other, .. } => {
                assert_eq!(canonical.block_number, other.block_number, "C9: a fork is two blocks at one number");
                assert_ne!(canonical.hash, other.hash, "C9: a fork is two blocks");
                self.is_valid(other);
                self.accepted.insert(other.hash, other.signed.preconf().clone());
            }
            Event::SyncProgress { from, at, .. } => assert!(from <= at, "P6.9: it went from {from} down to {at}"),
            _ => {}
        }
    }

    /// C2 to C10 once more.
    fn accepts(&mut self, commitment: &Accepted, source: Source) {
        let Accepted { signed, hash, block_number: number, .. } = commitment;
        let preconf = signed.preconf();
        self.is_valid(commitment);
        assert!(*number > self.tip.block_number, "C4: block {number} is settled");
        if !self.tip_moved {
            assert!(self.at.get(number).is_none_or(|at| at == hash), "C9: two canonical blocks at {number}");
        }
        self.at.insert(*number, *hash);
        self.accepted.insert(*hash, preconf.clone());
        if source == Source::Own {
            assert!(self.recorded.contains(hash), "P5.9a: it counts before the record of it is on disk");
            let first = *self.said.entry((commitment.window_end, *number)).or_insert(*hash);
            assert_eq!(first, *hash, "P5.9: two blocks of our own at {number}");
            while self.said.len() > self.max_said {
                self.said.pop_first();
            }
        }
    }

    fn is_valid(&self, commitment: &Accepted) {
        let Accepted { signed, block_number: number, window_end, .. } = commitment;
        let preconf = signed.preconf();
        assert_eq!(signed.commitment().slasher_address, SLASHER, "C2");
        assert!(preconf.eop || !preconf.raw_tx_list_hash.is_zero(), "C3");
        let in_window = |window: &&Window| {
            let span = U256::from(window.start) < preconf.timestamp && preconf.timestamp <= U256::from(window.end);
            window.end == *window_end && preconf.submission_window_end == U256::from(window.end) && span
        };
        let by_elected = |window: &Window| window.preconfer == commitment.signer;
        assert!(self.windows.iter().filter(in_window).any(by_elected), "C6, C7: nobody elected signed block {number}");
        assert!(!is_high_s(signed) && signer(signed) == Some(commitment.signer), "C7: it is not its signer's");
        let parent = self.accepted.get(&preconf.parent_preconfirmation_hash);
        assert!(self.tip_moved || parent.is_some() || *number == 1, "C9: the parent of block {number} is not known");
        if let Some(parent) = parent.filter(|_| !self.tip_moved) {
            fits(parent, preconf);
        }
    }

    fn proves(&mut self, evidence: &Evidence, accused: preconf_core::Address) {
        let pair = (keccak256(evidence.first.as_bytes()), keccak256(evidence.second.as_bytes()));
        if self.proven.insert(pair) {
            let (first, second) = (signer(&evidence.first), signer(&evidence.second));
            assert_eq!((first, second), (Some(accused), Some(accused)), "P5.4: evidence against somebody else");
            // Both signatures are known to be good; verifying pays for them once more, so only where a short run asks for it.
            if self.proven.len() == 1 {
                evidence.verify(DEFAULT_DOMAIN).expect("P5.4: evidence verifies on its own");
            }
        }
    }
}

/// C9, from parent to child.
fn fits(parent: &Preconfirmation, child: &Preconfirmation) {
    assert_eq!(parent.block_number + U256::ONE, child.block_number, "C9: the number");
    assert!(parent.timestamp < child.timestamp, "C9: the timestamp");
    let (low, high) = (parent.gas_limit.min(child.gas_limit), parent.gas_limit.max(child.gas_limit));
    assert!((high - low) * U256::from(5_000) <= parent.gas_limit, "C9: the gas limit leaps"); // 200 millionths are one in 5000
    assert!(child.gas_limit >= U256::from(10_000_000) && child.gas_limit <= U256::from(45_000_000), "C9: the gas limit's range");
    assert!(parent.anchor_block_number <= child.anchor_block_number, "C9: the anchor");
    assert!(parent.proposal_id <= child.proposal_id, "C9: the proposal");
    assert!(parent.submission_window_end <= child.submission_window_end, "C9: the window");
}

/// P6.1 to P6.3.
fn answers((protocol, request): (Protocol, Option<GetCommitmentsRequest>), response: &Response) {
    match (protocol, response) {
        (Protocol::GetHead, Response::Head(_)) => {}
        (Protocol::GetCommitments, Response::Commitments(page)) => {
            let request = request.expect("P6.4: only what is well formed is answered");
            let page = CommitmentsPage::decode(page).expect("P6.2: a page");
            assert!(page.len() <= 256.min(request.max_count as usize), "P6.2: more than was asked for");
            for (item, number) in page.iter().zip(0u64..) {
                let number = request.start_block_number + U256::from(number);
                assert_eq!(item.expect("P6.2: a commitment").preconf().block_number, number, "P6.2: gapless from the start");
            }
        }
        (Protocol::GetTxList, Response::TxList(list)) => {
            assert!(list.txlist.is_empty() || keccak256(&list.txlist) == list.hash, "P6.3: what is served was hashed");
        }
        (Protocol::GetHead | Protocol::GetCommitments | Protocol::GetTxList, _) => panic!("P6: {protocol:?} is answered with {response:?}"),
    }
}
