//! Txlists on their own: no chain, no peers, no machine.

use std::time::Duration;

use alloy_primitives::{U256, keccak256};

use super::*;
use crate::id::RequestId;
use crate::request::wanted::{Purpose, Whom};
use crate::time::{Now, Time};
use crate::wire::v1::{PreconfCommitment, Preconfirmation, SignedCommitment};

const HEIGHTS: Heights = Heights { head: 0, next_ready: 1 };

fn peer(name: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, name]).expect("three bytes")
}

fn list(byte: u8) -> (B256, Bytes) {
    let bytes = Bytes::from(vec![byte; 100]);
    (keccak256(&bytes), bytes)
}

/// An accepted commitment with this number, for the list of this byte.
fn accepted(number: u64, byte: u8) -> Accepted {
    let preconf = Preconfirmation { block_number: U256::from(number), raw_tx_list_hash: list(byte).0, ..Preconfirmation::default() };
    let signed = SignedCommitment::new(PreconfCommitment { preconf, ..PreconfCommitment::default() }, [0; 65]);
    Accepted { signed, hash: B256::with_last_byte(byte), signer: Default::default(), block_number: number, window_end: 0 }
}

fn bench() -> (Cx, TxLists) {
    let cx = Cx::for_tests();
    let lists = TxLists::new(&cx.config);
    (cx, lists)
}

/// Gossips a list that is said to have this hash. The job that hashes it, if it is named.
fn gossip(cx: &mut Cx, lists: &mut TxLists, name: u8, hash: B256, txlist: Bytes) -> Result<Option<JobId>, Refusal> {
    let data = RawTxList { hash, txlist }.encode();
    lists.arrived(cx, (peer(name), MessageId([name; 20]), None), &data, |_| true)?;
    Ok(cx.drain_jobs().pop())
}

/// What is wanted next: the byte of its list's hash is told by `of`.
fn wanted_hash(wanted: &Wanted) -> B256 {
    let Purpose::TxList { hash, command: None } = wanted.purpose else { panic!("{wanted:?}") };
    hash
}

/// Who is not asked, and who is asked first.
fn whom(wanted: &Wanted) -> (Vec<PeerId>, Option<PeerId>) {
    let Whom::AnyoneBut { exclude, prefer } = &wanted.whom else { panic!("{wanted:?}") };
    (exclude.clone(), *prefer)
}

/// Lets the grace of what is missing pass.
fn wait(cx: &mut Cx, lists: &mut TxLists) {
    while let Some((at, timer)) = cx.timers.next() {
        cx.begin(Now { mono: at, ..cx.now });
        cx.timers.pop_due(at);
        if let Timer::TxListMissing(hash) = timer {
            assert!(lists.fetch_due(&hash));
        }
    }
}

/// What the timers say of orphans until this long from now.
fn wait_for_orphans(cx: &mut Cx, lists: &mut TxLists, span: Duration) {
    let until = cx.now.mono.after(span);
    while let Some((at, Timer::Orphan(id))) = cx.timers.next().filter(|(at, _)| *at <= until) {
        cx.begin(Now { mono: at, ..cx.now });
        cx.timers.pop_due(at);
        lists.orphan_due(cx, id);
    }
    cx.begin(Now { mono: until, ..cx.now });
}

fn refused(lists: &mut TxLists) -> Vec<(PeerId, Refusal)> {
    lists.take_refused().into_iter().map(|orphan| (orphan.peer, orphan.refusal)).collect()
}

#[test]
fn t5_an_orphan_is_ignored_in_time_kept_for_its_time_and_gives_its_room_back() {
    let (mut cx, mut lists) = bench();
    let (hash, bytes) = list(1);
    assert_eq!(gossip(&mut cx, &mut lists, 1, hash, bytes), Ok(None), "not hashed");
    assert!(!lists.has(&hash) && lists.bytes() > 0 && lists.bytes() <= TxLists::max_bytes(&cx.config, 1));
    let (verdict_timeout, orphan_for) = (cx.config.verdict_timeout, cx.config.orphan_for);
    wait_for_orphans(&mut cx, &mut lists, verdict_timeout);
    assert_eq!(
        (refused(&mut lists), cx.timers.next().map(|(at, _)| at)),
        (vec![(peer(1), Refusal::Unnamed)], Some(Time::ZERO.after(orphan_for)))
    );
    wait_for_orphans(&mut cx, &mut lists, orphan_for);
    assert_eq!((refused(&mut lists), cx.timers.next(), lists.bytes()), (vec![], None, 0));
}

#[test]
fn t5_a_list_lives_as_long_as_a_commitment_refers_to_it() {
    let (mut cx, mut lists) = bench();
    let (hash, bytes) = list(1);
    gossip(&mut cx, &mut lists, 1, hash, bytes).expect("room");
    let two = [accepted(1, 1), accepted(2, 1)];
    two.iter().for_each(|commitment| lists.add_reference(&mut cx, commitment, None, true));
    let jobs = cx.drain_jobs();
    assert_eq!(
        (jobs.len(), cx.timers.next().map(|(_, timer)| timer)),
        (1, Some(Timer::TxListMissing(hash))),
        "hashed once, and no orphan any more"
    );
    let ruling = lists.hash_found(&mut cx, jobs[0], hash, HEIGHTS).expect("ours");
    assert_eq!((ruling.conclusion, ruling.unnamed_since), (TxListConclusion::Stored, Some(Time::ZERO)));
    lists.remove_reference(&mut cx, &two[0]);
    assert!(lists.has(&hash), "the other one still refers to it");
    lists.remove_reference(&mut cx, &two[1]);
    assert_eq!((lists.has(&hash), lists.missing(), lists.bytes()), (false, 0, 0));
}

#[test]
fn t5_candidates_for_one_hash_are_hashed_one_after_another_until_one_is_right() {
    let (mut cx, mut lists) = bench();
    let (hash, bytes) = list(1);
    for name in 1..=3 {
        gossip(&mut cx, &mut lists, name, hash, list(if name == 2 { 1 } else { 7 + name }).1).expect("room");
    }
    assert_eq!(gossip(&mut cx, &mut lists, 4, hash, bytes), Err(Refusal::NoRoom));
    lists.add_reference(&mut cx, &accepted(1, 1), None, true);
    let first = cx.drain_jobs();
    let wrong = lists.hash_found(&mut cx, first[0], list(8).0, HEIGHTS).expect("ours");
    assert_eq!((first.len(), wrong.origin.peer(), wrong.conclusion), (1, Some(peer(1)), TxListConclusion::Refused(Refusal::WrongHash)));
    let second = cx.drain_jobs();
    let right = lists.hash_found(&mut cx, second[0], hash, HEIGHTS).expect("ours");
    assert_eq!((second.len(), right.origin.peer(), right.conclusion), (1, Some(peer(2)), TxListConclusion::Stored));
    assert_eq!((refused(&mut lists), cx.drain_jobs().len()), (vec![(peer(3), Refusal::Duplicate)], 0));
}

#[test]
fn t5_the_answer_to_a_request_ends_the_wait_of_candidates_too() {
    let (mut cx, mut lists) = bench();
    let (hash, bytes) = list(1);
    gossip(&mut cx, &mut lists, 1, hash, list(7).1).expect("room");
    lists.add_reference(&mut cx, &accepted(1, 1), None, true);
    let slow = cx.drain_jobs();
    lists.answered(&mut cx, Origin::Response { peer: peer(2), request: RequestId(1), command: None }, RawTxList { hash, txlist: bytes });
    let answer = cx.drain_jobs();
    lists.hash_found(&mut cx, answer[0], hash, HEIGHTS).expect("ours");
    assert_eq!((refused(&mut lists), lists.has(&hash)), (vec![(peer(1), Refusal::Duplicate)], true));
    assert_eq!(lists.hash_found(&mut cx, slow[0], list(7).0, HEIGHTS), None, "nobody waits for that any more");
}

#[test]
fn t2_t3_t4_what_is_here_over_quota_or_not_what_it_says_is_refused() {
    let (mut cx, mut lists) = bench();
    let (hash, bytes) = list(1);
    let data = RawTxList { hash, txlist: bytes.clone() }.encode();
    assert_eq!(lists.arrived(&mut cx, (peer(1), MessageId([1; 20]), None), &data, |_| false), Err(Refusal::OverQuota)); // T3
    lists.add_reference(&mut cx, &accepted(1, 1), None, true);
    let hash_of = |cx: &mut Cx, lists: &mut TxLists, name| {
        let data = RawTxList { hash, txlist: bytes.clone() }.encode();
        lists
            .arrived(cx, (peer(name), MessageId([name; 20]), None), &data, |_| panic!("it is named: no quota is asked"))
            .map(|()| cx.drain_jobs()[0])
    };
    let job = hash_of(&mut cx, &mut lists, 1).expect("room");
    let wrong = lists.hash_found(&mut cx, job, list(2).0, HEIGHTS).expect("ours");
    assert_eq!((wrong.conclusion, lists.bytes()), (TxListConclusion::Refused(Refusal::WrongHash), 0)); // T4
    let twice = [1, 2].map(|name| hash_of(&mut cx, &mut lists, name).expect("room"));
    let rulings = twice.map(|job| lists.hash_found(&mut cx, job, hash, HEIGHTS).expect("ours").conclusion);
    assert_eq!(rulings, [TxListConclusion::Stored, TxListConclusion::Refused(Refusal::Duplicate)]); // T2
    assert_eq!(hash_of(&mut cx, &mut lists, 3), Err(Refusal::Duplicate)); // T2
}

#[test]
fn p10_1_one_peer_has_so_many_hashed_at_once_and_no_more() {
    let (mut cx, mut lists) = bench();
    let most = u8::try_from(MAX_HASHING_PER_PEER).expect("few");
    (0..=most).for_each(|byte| lists.add_reference(&mut cx, &accepted(u64::from(byte), byte), None, true));
    let mut one = |byte: u8| gossip(&mut cx, &mut lists, 1, list(byte).0, list(byte).1).is_ok();
    assert!((0..most).all(&mut one) && !one(most));
    assert_eq!(lists.hashing(), MAX_HASHING_PER_PEER);
    assert!(lists.bytes() <= TxLists::max_bytes(&cx.config, 1));
}

#[test]
fn p5_6_the_lowest_block_is_wanted_first_and_of_its_sender() {
    let (mut cx, mut lists) = bench();
    for (number, byte) in [(3, 3), (1, 1), (2, 2)] {
        lists.add_reference(&mut cx, &accepted(number, byte), Some(peer(byte)), true);
    }
    assert_eq!((lists.missing(), lists.next_wanted(&mut cx)), (3, None), "they have their grace");
    wait(&mut cx, &mut lists);
    let mut order = Vec::new();
    while let Some(wanted) = lists.next_wanted(&mut cx) {
        let hash = wanted_hash(&wanted);
        order.push((hash, whom(&wanted).1.expect("its sender")));
        lists.asked(&mut cx, &hash, peer(9));
    }
    assert_eq!(order, [1, 2, 3].map(|byte| (list(byte).0, peer(byte))));
}

#[test]
fn p5_6_at_most_three_are_asked_at_a_time_and_nobody_twice_in_a_round() {
    let (mut cx, mut lists) = bench();
    let hash = list(1).0;
    lists.add_reference(&mut cx, &accepted(1, 1), None, true);
    for name in 1..=3 {
        wait(&mut cx, &mut lists);
        let wanted = lists.next_wanted(&mut cx).expect("another one");
        assert_eq!(whom(&wanted).0, (1..name).map(peer).collect::<Vec<_>>());
        lists.asked(&mut cx, &hash, peer(name));
    }
    wait(&mut cx, &mut lists);
    assert_eq!(lists.next_wanted(&mut cx), None, "three are at it");
    assert!(lists.fetch_failed(&hash));
    assert_eq!(lists.next_wanted(&mut cx).map(|wanted| whom(&wanted).0.len()), Some(3));
    lists.nobody_is_left(&mut cx, &hash);
    assert_eq!(lists.next_wanted(&mut cx), None);
    assert!(lists.fetch_failed(&hash) && lists.fetch_failed(&hash));
    lists.nobody_is_left(&mut cx, &hash);
    wait(&mut cx, &mut lists);
    assert_eq!(lists.next_wanted(&mut cx).map(|wanted| whom(&wanted).0), Some(Vec::new()), "a new round");
}

#[test]
fn p6_4_an_answer_ends_the_fetch_and_a_wrong_one_makes_it_due_again() {
    let (mut cx, mut lists) = bench();
    let (hash, txlist) = list(1);
    lists.add_reference(&mut cx, &accepted(1, 1), None, true);
    wait(&mut cx, &mut lists);
    let origin = Origin::Response { peer: peer(1), request: RequestId(1), command: None };
    let mut answer = |lists: &mut TxLists, found| {
        let wanted = lists.next_wanted(&mut cx).expect("still missing");
        lists.asked(&mut cx, &wanted_hash(&wanted), peer(1));
        lists.answered(&mut cx, origin, RawTxList { hash, txlist: txlist.clone() });
        assert_eq!(lists.hashing_responses(), 1);
        let job = cx.drain_jobs().pop().expect("a job");
        lists.hash_found(&mut cx, job, found, HEIGHTS).expect("ours").conclusion
    };
    assert_eq!(answer(&mut lists, list(2).0), TxListConclusion::Refused(Refusal::WrongHash));
    assert_eq!(answer(&mut lists, hash), TxListConclusion::Stored);
    assert_eq!((lists.missing(), lists.waits_for_peer(), cx.timers.next()), (0, false, None));
}

#[test]
fn a_list_that_gives_way_to_an_earlier_blocks_is_looked_for_again() {
    let (mut cx, mut lists) = bench();
    cx.config.max_txlist_bytes = 100 + store::TXLIST_OVERHEAD_BYTES;
    lists = TxLists { store: TxListStore::new(cx.config.max_txlist_bytes), ..lists };
    for (number, byte) in [(2, 2), (1, 1)] {
        lists.add_reference(&mut cx, &accepted(number, byte), None, true);
        let (hash, txlist) = list(byte);
        let job = gossip(&mut cx, &mut lists, byte, hash, txlist).expect("room").expect("a commitment refers to it");
        assert_eq!(lists.hash_found(&mut cx, job, hash, HEIGHTS).expect("ours").conclusion, TxListConclusion::Stored);
    }
    assert!(lists.has(&list(1).0) && !lists.has(&list(2).0));
    assert_eq!((lists.missing(), cx.timers.next()), (1, Some((Time::ZERO.after(cx.config.txlist_grace), Timer::TxListMissing(list(2).0)))));
}

#[test]
fn p5_7_our_own_list_waits_for_its_commitment_and_is_published_as_it_is_stored() {
    let (mut cx, mut lists) = bench();
    let (hash, txlist) = list(1);
    lists.hash_own(&mut cx, CommandId(1), txlist.clone());
    let job = cx.drain_jobs().pop().expect("a job");
    let ruling = lists.hash_found(&mut cx, job, hash, HEIGHTS).expect("ours");
    assert_eq!((ruling.conclusion, ruling.message), (TxListConclusion::Stored, Some(RawTxList { hash, txlist }.encode())));
    lists.add_reference(&mut cx, &accepted(1, 1), None, true);
    lists.own_over(&hash);
    assert!(lists.has(&hash), "its commitment has come");
}

#[test]
fn p9_3_what_is_settled_needs_no_list() {
    let (mut cx, mut lists) = bench();
    [1, 2].iter().for_each(|&number| lists.add_reference(&mut cx, &accepted(u64::from(number), number), None, true));
    lists.end_fetches_below(&mut cx, 2);
    assert_eq!((lists.missing(), cx.timers.next().map(|(_, timer)| timer)), (1, Some(Timer::TxListMissing(list(2).0))));
}
