//! Commitments on their own: no peers, no txlists, no machine.

use alloy_primitives::U256;

use super::*;
use crate::error::Refusal;
use crate::id::{CommandId, MessageId, PeerId, RequestId};
use crate::time::{Now, Time, UnixTime};
use crate::wire::v1::{PreconfCommitment, Preconfirmation};

const FIRST: Address = Address::repeat_byte(1);
const SECOND: Address = Address::repeat_byte(2);

/// The state, with what the machine lends it: two windows, the first preconfer's until 1100, the second's until 1200.
struct Bench {
    cx: Cx,
    schedule: Schedule,
    chain: ChainState,
    own: OwnCommitments,
    messages: u8,
}

impl Bench {
    fn new() -> Self {
        let cx = Cx::for_tests();
        let mut bench = Self {
            chain: ChainState::new(&cx.config),
            own: OwnCommitments::new(&cx.config, cx.now.unix),
            cx,
            schedule: Schedule::default(),
            messages: 0,
        };
        bench.window(1_000, FIRST);
        bench.window(1_100, SECOND);
        bench
    }

    fn window(&mut self, start: u64, preconfer: Address) {
        self.schedule.update(&[Window { start, end: start + 100, preconfer, settled_at: Some(0) }]).expect("in order");
    }

    fn gossip(&mut self) -> Origin {
        self.messages += 1;
        let peer = PeerId::from_bytes(&[0, 1, self.messages]).expect("three bytes");
        Origin::Gossip { peer, message: Some(MessageId([self.messages; 20])) }
    }

    /// Hands one in. The job that recovers its signer, if there is one now.
    fn receive(&mut self, origin: Origin, signed: &SignedCommitment) -> Result<Option<JobId>, Refusal> {
        self.chain.receive(&mut self.cx, &self.schedule, (origin, None), signed.clone())?;
        Ok(self.cx.drain_jobs().pop())
    }

    fn found(&mut self, job: JobId, signer: Address) -> Vec<Ruling> {
        self.chain.signer_found(job, Some(signer));
        self.rulings()
    }

    fn rulings(&mut self) -> Vec<Ruling> {
        std::iter::from_fn(|| self.chain.next_ruling(&mut self.cx, &self.schedule, &self.own)).collect()
    }

    /// Gossips one that this signer has signed, to its end.
    fn take(&mut self, signed: &SignedCommitment, signer: Address) -> Vec<Ruling> {
        let origin = self.gossip();
        let job = self.receive(origin, signed).expect("well formed").expect("a job");
        self.found(job, signer)
    }
}

/// The first preconfer's block with this number on this parent. `change` makes it another one.
fn block(number: u64, parent: B256, change: impl FnOnce(&mut Preconfirmation)) -> SignedCommitment {
    let mut preconf = Preconfirmation {
        block_number: U256::from(number),
        timestamp: U256::from(1_000 + number),
        gas_limit: U256::from(30_000_000),
        raw_tx_list_hash: B256::repeat_byte(7),
        parent_preconfirmation_hash: parent,
        submission_window_end: U256::from(1_100),
        ..Preconfirmation::default()
    };
    change(&mut preconf);
    SignedCommitment::new(PreconfCommitment { preconf, ..PreconfCommitment::default() }, [1; 65])
}

/// Blocks from 1 on, each on the one before.
fn chain_of(count: u64) -> Vec<SignedCommitment> {
    let mut parent = B256::ZERO;
    let next = |number| {
        let signed = block(number, parent, |_| {});
        parent = crypto::preconfirmation_hash(&signed);
        signed
    };
    (1..=count).map(next).collect()
}

/// What each ruling came to: the number that was accepted, or why not.
fn told(rulings: &[Ruling]) -> Vec<Result<u64, Option<Refusal>>> {
    let one = |ruling: &Ruling| match &ruling.conclusion {
        Conclusion::Accepted { commitment, .. } => Ok(commitment.block_number),
        Conclusion::Forked { .. } | Conclusion::ToRecord { .. } | Conclusion::Held | Conclusion::Refused(_) => {
            Err(ruling.conclusion.refusal())
        }
    };
    rulings.iter().map(one).collect()
}

#[test]
fn what_is_concluded_does_not_depend_on_the_order_in_which_signers_come_back() {
    let run = |order: [usize; 3]| {
        let mut bench = Bench::new();
        let mut jobs = Vec::new();
        for signed in chain_of(3) {
            let origin = bench.gossip();
            jobs.push(bench.receive(origin, &signed).expect("well formed").expect("a job"));
        }
        let rulings: Vec<_> = order.into_iter().flat_map(|at| bench.found(jobs[at], FIRST)).collect();
        assert_eq!(bench.chain.verifying_count(), 0);
        rulings
    };
    let first = run([0, 1, 2]);
    assert_eq!(told(&first), [Ok(1), Ok(2), Ok(3)]);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(run(order), first, "{order:?}");
    }
}

#[test]
fn p5_1_a_held_child_is_concluded_with_its_parent_and_completes_with_it() {
    let (mut bench, blocks) = (Bench::new(), chain_of(3));
    for child in [2, 1] {
        let held = bench.take(&blocks[child], FIRST);
        assert_eq!(
            (told(&held), held[0].parent_wanted_for),
            (vec![Err(None)], Some(child as u64 + 1)),
            "P5.2: its parent is asked of its sender"
        );
    }
    assert_eq!(bench.chain.held_count(), 2);
    let released = bench.take(&blocks[0], FIRST);
    assert_eq!(told(&released), [Ok(1), Ok(2), Ok(3)]);
    let completed: Vec<_> = released.iter().map(|ruling| ruling.completed.as_ref().map(|completed| completed.origin)).collect();
    assert_eq!(completed, [None, None, Some(released[0].origin)], "blocks are told as ready once all of them are in");
    assert_eq!((bench.chain.held_count(), bench.cx.timers.next()), (0, None));
}

#[test]
fn p5_1_a_held_message_gets_its_verdict_once_and_waits_on_until_its_time_is_over() {
    let (mut bench, blocks) = (Bench::new(), chain_of(2));
    bench.take(&blocks[1], FIRST);
    let Some((at, Timer::Verdict(id))) = bench.cx.timers.next() else { panic!("its verdict is due first") };
    assert_eq!(at, Time::ZERO.after(bench.cx.config.verdict_timeout));
    let ruling = bench.chain.verdict_due(id).expect("a verdict");
    assert!(matches!(ruling.origin, Origin::Gossip { message: Some(_), .. }));
    assert_eq!((ruling.conclusion, bench.chain.held_count()), (Conclusion::Refused(Refusal::ParentUnknown), 1));
    assert_eq!(bench.chain.verdict_due(id), None, "once");
    bench.chain.hold_over(&mut bench.cx, id);
    assert_eq!((bench.chain.held_count(), bench.cx.timers.next()), (0, None));
}

#[test]
fn c6_what_waits_for_the_schedule_is_looked_at_again_when_windows_come() {
    let mut bench = Bench::new();
    let later = block(1, B256::ZERO, |preconf| {
        preconf.timestamp = U256::from(1_250);
        preconf.submission_window_end = U256::from(1_300);
    });
    let outside = block(2, B256::ZERO, |preconf| preconf.submission_window_end = U256::from(1_300));
    for signed in [&outside, &later] {
        let origin = bench.gossip();
        assert_eq!(bench.receive(origin, signed), Ok(None), "no job");
    }
    bench.chain.schedule_changed(&bench.schedule);
    assert_eq!((bench.rulings(), bench.chain.held_count()), (vec![], 2), "nothing has come");
    bench.window(1_200, FIRST);
    bench.cx.now.unix = UnixTime::from_secs(1_200);
    bench.chain.schedule_changed(&bench.schedule);
    assert_eq!(told(&bench.rulings()), [Err(Some(Refusal::WrongWindow { settled: true }))]);
    let job = bench.cx.drain_jobs().pop().expect("the other one's signer is recovered");
    assert_eq!(told(&bench.found(job, FIRST)), [Ok(1)]);
}

#[test]
fn c7_who_is_not_elected_is_refused() {
    let mut bench = Bench::new();
    assert_eq!(told(&bench.take(&chain_of(1)[0], SECOND)), [Err(Some(Refusal::WrongSigner { settled: true }))]);
}

#[test]
fn c8_a_second_block_at_one_number_is_equivocation_and_proven_once() {
    let mut bench = Bench::new();
    bench.take(&chain_of(1)[0], FIRST);
    for (byte, is_news) in [(8, true), (9, false)] {
        let other = block(1, B256::ZERO, |preconf| preconf.raw_tx_list_hash = B256::repeat_byte(byte));
        let rulings = bench.take(&other, FIRST);
        assert_eq!(told(&rulings), [Err(Some(Refusal::Equivocation))]);
        assert_eq!(rulings[0].proven.as_ref().map(|proven| proven.evidence.fault), is_news.then_some(Fault::Equivocation));
    }
    assert_eq!(bench.chain.evidence().len(), 1);
}

#[test]
fn c8_a_block_after_its_signers_eop_is_refused_and_proven() {
    let mut bench = Bench::new();
    let last = block(1, B256::ZERO, |preconf| preconf.eop = true);
    bench.take(&last, FIRST);
    let rulings = bench.take(&block(2, crypto::preconfirmation_hash(&last), |_| {}), FIRST);
    assert_eq!(told(&rulings), [Err(Some(Refusal::AfterEop))]);
    assert_eq!(rulings[0].proven.as_ref().map(|proven| proven.evidence.fault), Some(Fault::AfterEop));
}

#[test]
fn c9_a_signer_that_does_not_follow_its_own_block_is_proven_wrong_and_its_block_waits() {
    let mut bench = Bench::new();
    bench.take(&chain_of(1)[0], FIRST);
    let rulings = bench.take(&block(2, B256::repeat_byte(9), |_| {}), FIRST);
    assert_eq!((told(&rulings), bench.chain.held_count()), (vec![Err(None)], 1));
    assert_eq!(rulings[0].proven.as_ref().map(|proven| proven.evidence.fault), Some(Fault::BrokenLink));
}

#[test]
fn c9_another_signers_block_at_one_number_is_a_fork_and_kept_beside() {
    let mut bench = Bench::new();
    let first = chain_of(1).remove(0);
    bench.take(&first, FIRST);
    let other = block(1, B256::ZERO, |preconf| {
        preconf.timestamp = U256::from(1_150);
        preconf.submission_window_end = U256::from(1_200);
    });
    bench.cx.now.unix = UnixTime::from_secs(1_100);
    let rulings = bench.take(&other, SECOND);
    let Conclusion::Forked { canonical: Some(canonical), commitment, fell_off } = &rulings[0].conclusion else { panic!("{rulings:?}") };
    assert_eq!((&canonical.signed, &commitment.signed, fell_off.len()), (&first, &other, 0));
    assert_eq!((bench.chain.forks().count(), bench.chain.head_number()), (1, 1));
}

#[test]
fn c9_a_child_that_breaks_a_parent_rule_is_refused() {
    let mut bench = Bench::new();
    let first = chain_of(1).remove(0);
    bench.take(&first, FIRST);
    let rulings = bench.take(&block(2, crypto::preconfirmation_hash(&first), |preconf| preconf.timestamp = U256::from(1_001)), FIRST);
    assert!(matches!(rulings[0].conclusion, Conclusion::Refused(Refusal::ParentRule(_))), "{rulings:?}");
}

#[test]
fn p6_4_nothing_behind_the_first_bad_item_of_a_response_is_concluded() {
    let (mut bench, blocks) = (Bench::new(), chain_of(3));
    let peer = PeerId::from_bytes(&[0, 1, 9]).expect("three bytes");
    let origin = Origin::Response { peer, request: RequestId(1), command: None };
    let jobs: Vec<_> = blocks.iter().map(|signed| bench.receive(origin, signed).expect("well formed").expect("a job")).collect();
    assert_eq!(bench.chain.verifying_in_responses(), 3);
    assert_eq!(told(&bench.found(jobs[2], FIRST)), []);
    assert_eq!(told(&bench.found(jobs[1], SECOND)), []);
    assert_eq!(told(&bench.found(jobs[0], FIRST)), [Ok(1), Err(Some(Refusal::WrongSigner { settled: true }))]);
    assert_eq!(bench.chain.verifying_in_responses(), 0);
}

#[test]
fn p6_10_a_response_may_be_old_and_gossip_may_not() {
    let (mut bench, first) = (Bench::new(), chain_of(1).remove(0));
    bench.cx.begin(Now { mono: Time::ZERO, unix: UnixTime::from_secs(1_200) });
    let gossip = bench.gossip();
    assert_eq!(bench.receive(gossip, &first), Err(Refusal::Late));
    let peer = PeerId::from_bytes(&[0, 1, 9]).expect("three bytes");
    assert!(bench.receive(Origin::Response { peer, request: RequestId(1), command: None }, &first).is_ok());
}

#[test]
fn p5_9_our_own_that_contradicts_what_we_said_is_refused_and_proves_nothing() {
    let mut bench = Bench::new();
    let signed = chain_of(1).remove(0);
    let origin = Origin::Own { command: CommandId(1), is_recorded: false };
    let job = bench.receive(origin, &signed).expect("well formed").expect("a job");
    bench.own.commit(FIRST, (1_100, 1), &block(1, B256::repeat_byte(9), |_| {}), 0);
    bench.chain.signer_found(job, Some(FIRST));
    let ruling = bench.chain.next_ruling(&mut bench.cx, &bench.schedule, &bench.own).expect("a ruling");
    assert_eq!((ruling.conclusion, ruling.proven), (Conclusion::Refused(Refusal::Equivocation), None));
    assert_eq!(bench.chain.len(), 0);
}

#[test]
fn p5_1_held_ones_are_bounded_in_all_by_peer_and_by_position_and_the_newest_loses() {
    let mut bench = Bench::new();
    let config = &mut bench.cx.config;
    (config.max_held, config.max_held_per_peer, config.max_held_per_position) = (4, 3, 2);
    bench.chain = ChainState::new(&bench.cx.config);
    let mut hold = |peer: u8, number: u64, parent: u8| {
        let peer = PeerId::from_bytes(&[0, 1, peer]).expect("three bytes");
        let origin = Origin::Gossip { peer, message: Some(MessageId([parent; 20])) };
        let signed = block(number, B256::repeat_byte(parent), |_| {});
        let job = bench.receive(origin, &signed).expect("well formed").expect("a job");
        told(&bench.found(job, FIRST))[0] == Err(None)
    };
    assert!(hold(1, 5, 1) && hold(1, 5, 2) && !hold(2, 5, 3), "two for one position");
    assert!(hold(1, 6, 4) && !hold(1, 7, 5), "three of one peer");
    assert!(hold(2, 7, 6) && !hold(3, 8, 7), "four in all");
    assert_eq!(bench.chain.held().map(|pending| pending.number).collect::<Vec<_>>(), [5, 5, 6, 7]);
    let Some((_, Timer::Verdict(first))) = bench.cx.timers.next() else { panic!("a verdict is due") };
    bench.chain.hold_over(&mut bench.cx, first);
    assert!(bench.chain.bytes() <= ChainState::max_bytes(&bench.cx.config, 0));
    let origin = bench.gossip();
    let job = bench.receive(origin, &block(5, B256::repeat_byte(8), |_| {})).expect("well formed").expect("a job");
    assert_eq!(told(&bench.found(job, FIRST)), [Err(None)], "there is room again, for the position as well");
}

#[test]
fn p10_1_so_many_signers_are_recovered_for_one_peer_and_for_a_response_all() {
    let (mut bench, blocks) = (Bench::new(), chain_of(3));
    bench.cx.config.max_jobs_per_peer = 2;
    let peer = PeerId::from_bytes(&[0, 1, 9]).expect("three bytes");
    let gossip = Origin::Gossip { peer, message: None };
    assert!(bench.receive(gossip, &blocks[0]).is_ok_and(|job| job.is_some()));
    let second = bench.receive(gossip, &blocks[1]).expect("well formed").expect("a job");
    assert_eq!(bench.receive(gossip, &blocks[2]), Err(Refusal::NoRoom));
    assert!(bench.receive(Origin::Response { peer, request: RequestId(1), command: None }, &blocks[2]).is_ok());
    assert!(bench.found(second, FIRST).is_empty(), "the first comes first");
    assert_eq!((bench.chain.verifying_count(), bench.chain.verifying_in_responses()), (3, 1));
}

#[test]
fn p9_3_what_no_longer_links_is_concluded_anew_and_says_what_it_was() {
    let (mut bench, blocks) = (Bench::new(), chain_of(3));
    blocks.iter().for_each(|signed| drop(bench.take(signed, FIRST)));
    let of_another_chain = SyncTip { block_number: 1, preconfirmation_hash: Some(B256::repeat_byte(9)) };
    assert_eq!(bench.chain.tip_moved(of_another_chain).execute_from, None);
    let rulings = bench.rulings();
    assert_eq!(told(&rulings), [Err(Some(Refusal::Stale)), Err(Some(Refusal::ParentUnknown)), Err(Some(Refusal::ParentUnknown))]);
    let replaced = rulings.iter().map(|ruling| ruling.completed.as_ref().and_then(|completed| completed.replaces.clone()));
    assert_eq!(replaced.map(|old| old.map(|old| old.block_number)).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    assert_eq!((bench.chain.len(), bench.chain.head_number()), (0, 1));
}

#[test]
fn p10_1_what_gives_way_is_handed_out_and_what_is_still_needed_never_does() {
    let (mut bench, blocks) = (Bench::new(), chain_of(4));
    bench.cx.config.max_commitments = 2;
    bench.chain = ChainState::new(&bench.cx.config);
    bench.take(&blocks[0], FIRST);
    bench.take(&blocks[1], FIRST);
    assert_eq!(told(&bench.take(&blocks[2], FIRST)), [Err(Some(Refusal::NoRoom))]);
    assert_eq!(bench.chain.advance_ready(|_| true).map(|ready| ready.block_number), Some(1));
    let rulings = bench.take(&blocks[2], FIRST);
    let Conclusion::Accepted { fell_off, .. } = &rulings[0].conclusion else { panic!("{rulings:?}") };
    assert_eq!(fell_off.iter().map(|fallen| fallen.block_number).collect::<Vec<_>>(), [1]);
    assert!(bench.chain.bytes() <= ChainState::max_bytes(&bench.cx.config, 0));
}
