//! Catch-up on its own: no chain, no table of peers, no requests.

use super::*;
use crate::error::Refusal;
use crate::output::Output;
use crate::sync::pages::View;
use crate::time::Now;
use crate::wire::v1::PreconfCommitment;

const COUNT: PeerCount = PeerCount { connected: 9, serving_heads: 3 };

fn peer(name: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, name]).expect("three bytes")
}

fn peers(names: &[u8]) -> Vec<PeerId> {
    names.iter().map(|name| peer(*name)).collect()
}

fn items(count: usize) -> Vec<SignedCommitment> {
    vec![SignedCommitment::new(PreconfCommitment::default(), [0; 65]); count]
}

/// A catch-up, with what the machine lends it. Pages have five blocks.
struct Bench {
    cx: Cx,
    catch_up: CatchUp,
    head: u64,
    has_room: bool,
    /// Who serves no pages.
    useless: Vec<PeerId>,
    requests: u64,
}

impl Bench {
    /// Each of these claims a head.
    fn claiming(heads: &[(u8, u64)]) -> Self {
        let mut cx = Cx::for_tests();
        (cx.config.page_near, cx.config.page_far) = (5, 5);
        let mut bench = Self { cx, catch_up: CatchUp::default(), head: 0, has_room: true, useless: Vec::new(), requests: 0 };
        heads.iter().for_each(|(name, head)| bench.catch_up.head_claimed(peer(*name), *head, false));
        assert!(bench.catch_up.plan(&mut bench.cx, 0));
        bench
    }

    /// The pages that are wanted, lowest first, when nobody can be asked: first block, count, and who may bring it.
    fn wanted(&mut self) -> Vec<(u64, u32, Vec<PeerId>)> {
        let (mut all, mut above) = (Vec::new(), 0);
        while let Some((start, count, whom)) = self.next(above) {
            all.push((start, count, whom));
            above = start;
        }
        all
    }

    fn next(&mut self, above: u64) -> Option<(u64, u32, Vec<PeerId>)> {
        let Self { cx, catch_up, head, has_room, useless, .. } = self;
        let serves_pages = |peer: &PeerId| !useless.contains(peer);
        let view = View { head: *head, has_room: *has_room, serves_pages: &serves_pages, neighbourhood: &|_| None, line: None };
        let wanted = catch_up.next_wanted(cx, &view, above)?;
        let (Purpose::Page { start, count }, Whom::OneOf(whom)) = (wanted.purpose, wanted.whom) else { panic!("no page") };
        assert_eq!(GetCommitmentsRequest::decode(&wanted.body).map(|body| body.max_count), Ok(count));
        Some((start, count, whom))
    }

    /// The first page that is wanted goes out.
    fn ask(&mut self) -> RequestId {
        let (start, _, whom) = self.next(0).expect("a page is wanted");
        self.requests += 1;
        self.catch_up.page_asked(&self.cx, start, RequestId(self.requests), whom[0]);
        RequestId(self.requests)
    }

    /// So many items of a page came, and nothing bad behind them.
    fn arrives(&mut self, request: RequestId, name: u8, count: usize) {
        self.catch_up.page_arrived(request, peer(name), items(count), false);
    }

    /// The first page is judged, and all its items are accepted.
    fn judge(&mut self) {
        let (_, request, items) = self.catch_up.next_to_judge().expect("a page is here");
        for _ in items {
            self.head += 1;
            self.catch_up.head_moved(&mut self.cx, self.head, || COUNT);
            assert!(!self.catch_up.item_concluded(request, self.head));
        }
    }

    fn events(&mut self) -> Vec<Event> {
        let event = |output| if let Output::App(event) = output { Some(event) } else { None };
        std::iter::from_fn(|| self.cx.poll_output()).filter_map(event).collect()
    }

    fn wait(&mut self, span: Duration) {
        self.cx.begin(Now { mono: self.cx.now.mono.after(span), ..self.cx.now });
    }
}

#[test]
fn p6_9_a_page_is_wanted_asked_judged_and_done_with() {
    let mut bench = Bench::claiming(&[(1, 3)]);
    assert_eq!(bench.events(), [Event::SyncProgress { from: 0, at: 0, to: 0 }]);
    assert_eq!(bench.wanted(), [(1, 3, peers(&[1]))]);
    assert!(bench.catch_up.waits_for_peer());
    let request = bench.ask();
    assert_eq!(bench.wanted(), []);
    assert!(!bench.catch_up.waits_for_peer());
    bench.arrives(request, 1, 3);
    assert_eq!(bench.catch_up.numbers_waiting().collect::<Vec<_>>(), [1, 2, 3]);
    bench.judge();
    assert_eq!(bench.events(), [Event::SyncProgress { from: 0, at: 3, to: 3 }]);
    assert_eq!(bench.wanted(), []);
    assert_eq!((bench.events(), bench.catch_up.is_running()), (vec![Event::Synced { head: 3 }], false));
}

#[test]
fn p6_9_the_page_next_above_our_head_comes_first_and_each_goes_to_those_who_claim_it() {
    let mut bench = Bench::claiming(&[(1, 7), (2, 100), (3, 12)]);
    let all = peers(&[1, 2, 3]);
    assert_eq!(bench.wanted(), [(1, 5, all.clone()), (6, 5, all), (11, 5, peers(&[2, 3])), (16, 5, peers(&[2]))]);
    bench.useless = peers(&[3]);
    assert_eq!(bench.next(6), Some((11, 5, peers(&[2]))));
    assert_eq!(bench.next(16), None);
}

#[test]
fn p6_9_pages_are_judged_in_order_whatever_order_they_come_in() {
    let mut bench = Bench::claiming(&[(1, 10)]);
    let (first, second) = (bench.ask(), bench.ask());
    bench.arrives(second, 1, 5);
    assert!(bench.catch_up.next_to_judge().is_none());
    bench.arrives(first, 1, 5);
    bench.judge();
    bench.judge();
    assert_eq!((bench.head, bench.wanted()), (10, vec![]));
}

#[test]
fn p6_9_a_page_goes_to_another_peer_when_one_fails_has_nothing_or_too_little() {
    let moved_on = |what: fn(&mut Bench, RequestId)| {
        let mut bench = Bench::claiming(&[(1, 5), (2, 5)]);
        let request = bench.ask();
        what(&mut bench, request);
        bench.wanted()
    };
    assert_eq!(moved_on(|bench, request| bench.catch_up.page_failed(request, peer(1))), [(1, 5, peers(&[2]))]);
    assert_eq!(moved_on(|bench, request| bench.arrives(request, 1, 0)), [(1, 5, peers(&[2]))]);
    assert_eq!(moved_on(|bench, request| bench.arrives(request, 1, 2)), [(3, 3, peers(&[2]))]);
    let broken = |bench: &mut Bench, request| bench.catch_up.page_arrived(request, peer(1), Vec::new(), true);
    assert_eq!(moved_on(broken), [(1, 5, peers(&[2]))]);
}

#[test]
fn p6_9_an_empty_page_lowers_its_peers_claim_and_a_broken_one_does_not() {
    for (is_broken, claim) in [(false, 0), (true, 5)] {
        let mut bench = Bench::claiming(&[(1, 5), (2, 5)]);
        let request = bench.ask();
        bench.catch_up.page_arrived(request, peer(1), Vec::new(), is_broken);
        assert_eq!(bench.catch_up.claims().of(&peer(1)), Some(claim));
    }
}

#[test]
fn p6_9_a_head_that_nobody_backs_is_dropped() {
    let mut bench = Bench::claiming(&[(1, 5), (2, u64::MAX)]);
    while let Some((_, _, whom)) = bench.next(0) {
        let request = bench.ask();
        for peer in whom {
            bench.catch_up.page_arrived(request, peer, Vec::new(), false);
        }
    }
    let claims = bench.catch_up.claims();
    assert_eq!((claims.of(&peer(1)), claims.of(&peer(2)), bench.catch_up.is_running()), (Some(0), Some(0), false));
    assert_eq!(bench.events().last(), Some(&Event::Synced { head: 0 }));
}

#[test]
fn p6_9_who_did_not_answer_is_set_aside_and_comes_back_and_the_node_does_not_call_itself_synced() {
    let mut bench = Bench::claiming(&[(1, 5)]);
    let request = bench.ask();
    bench.catch_up.page_failed(request, peer(1));
    assert_eq!((bench.wanted(), bench.catch_up.is_running()), (vec![], false));
    assert!(!bench.events().contains(&Event::Synced { head: 0 }));
    assert_eq!(bench.catch_up.claims().of(&peer(1)), Some(5), "it may have it");
    bench.catch_up.resume();
    bench.catch_up.plan(&mut bench.cx, 0);
    assert_eq!(bench.wanted(), [(1, 5, peers(&[1]))], "a new run bars nobody");
}

#[test]
fn p7_4_the_claim_of_who_is_pruned_counts_for_nothing() {
    let mut bench = Bench::claiming(&[(1, 5), (2, 3)]);
    bench.catch_up.standing_changed(&peer(1), true);
    assert_eq!(bench.wanted(), [(1, 3, peers(&[2]))]);
    bench.catch_up.standing_changed(&peer(2), true);
    bench.wanted();
    assert_eq!((bench.catch_up.is_running(), bench.events().pop()), (false, Some(Event::Synced { head: 0 })));
}

#[test]
fn p6_4_a_broken_page_costs_one_failure_and_the_run_starts_over_without_its_peer() {
    let mut bench = Bench::claiming(&[(1, 9), (2, 9)]);
    let request = bench.ask();
    bench.arrives(request, 1, 5);
    let (brought_by, of, items) = bench.catch_up.next_to_judge().expect("it is here");
    assert_eq!((brought_by, of, items.len()), (peer(1), request, 5));
    bench.head = 2; // two were good
    assert!(bench.catch_up.item_refused(request, peer(1), Refusal::WrongSigner { settled: true }, 2));
    assert!(bench.catch_up.is_first_fault(request) && !bench.catch_up.is_first_fault(request));
    assert_eq!(bench.wanted(), [(3, 5, peers(&[2])), (8, 2, peers(&[1, 2]))]);
    assert!(!bench.catch_up.item_refused(request, peer(1), Refusal::WrongSigner { settled: true }, 2), "the run knows it no more");
}

#[test]
fn p6_9_a_page_that_leads_nowhere_is_of_no_use_from_its_peer() {
    let mut bench = Bench::claiming(&[(1, 2), (2, 2)]);
    let request = bench.ask();
    bench.arrives(request, 1, 2);
    bench.catch_up.next_to_judge().expect("it is here");
    assert!(!bench.catch_up.item_refused(request, peer(1), Refusal::Duplicate, 0), "gossip was faster");
    assert!(!bench.catch_up.item_concluded(request, 0));
    assert!(bench.catch_up.item_concluded(request, 0), "the last of them, and our head is where it was");
    assert_eq!(bench.wanted(), [(1, 2, peers(&[2]))]);
}

#[test]
fn p6_9_a_run_without_room_in_the_chain_is_paused_until_it_is_resumed() {
    let mut bench = Bench::claiming(&[(1, 5)]);
    let request = bench.ask();
    bench.arrives(request, 1, 5);
    bench.catch_up.next_to_judge().expect("it is here");
    assert!(!bench.catch_up.item_refused(request, peer(1), Refusal::NoRoom, 0));
    assert!(!bench.catch_up.plan(&mut bench.cx, 0) && !bench.catch_up.is_running());
    bench.wait(bench.cx.config.heads_every);
    bench.catch_up.heads_due(&mut bench.cx, COUNT);
    assert!(bench.catch_up.plan(&mut bench.cx, 0));
    assert_eq!(bench.wanted(), [(1, 5, peers(&[1]))]);
}

#[test]
fn p6_9_who_is_ahead_of_the_schedule_is_set_aside_and_others_are_followed() {
    let mut bench = Bench::claiming(&[(1, 5), (2, 3)]);
    let request = bench.ask();
    bench.arrives(request, 1, 5);
    bench.catch_up.next_to_judge().expect("it is here");
    assert!(bench.catch_up.item_refused(request, peer(1), Refusal::ScheduleUnknown, 0));
    assert_eq!(bench.wanted(), [(1, 3, peers(&[2]))]);
}

#[test]
fn no_page_is_wanted_while_too_many_items_are_being_judged() {
    let mut bench = Bench::claiming(&[(1, 5)]);
    bench.has_room = false;
    assert_eq!((bench.wanted(), bench.catch_up.is_running(), bench.catch_up.waits_for_peer()), (vec![], true, true));
}

#[test]
fn p6_9_what_gossip_brought_meanwhile_needs_no_page() {
    let mut bench = Bench::claiming(&[(1, 12)]);
    assert_eq!(bench.wanted().len(), 3);
    bench.head = 6;
    assert!(bench.catch_up.head_moved(&mut bench.cx, 6, || COUNT));
    assert_eq!(bench.wanted(), [(6, 5, peers(&[1])), (11, 2, peers(&[1]))]);
}

#[test]
fn p9_3_a_move_of_the_sync_tip_ends_the_run_and_the_next_plan_begins_from_there() {
    let mut bench = Bench::claiming(&[(1, 5)]);
    bench.ask();
    bench.catch_up.chain_changed(false);
    bench.head = 4;
    bench.catch_up.plan(&mut bench.cx, 4);
    assert_eq!(bench.wanted(), [(5, 1, peers(&[1]))]);
}

/// Who is asked for its head in one round, when all of these can be asked.
fn heads_asked(bench: &mut Bench, names: &[u8]) -> Vec<PeerId> {
    bench.catch_up.heads_due(&mut bench.cx, PeerCount { connected: names.len(), serving_heads: names.len() });
    let mut asked = Vec::new();
    while let Some(wanted) = bench.catch_up.next_head() {
        let Whom::AnyoneBut { exclude, prefer: None } = wanted.whom else { panic!("{wanted:?}") };
        match peers(names).into_iter().find(|peer| !exclude.contains(peer)) {
            Some(peer) => {
                bench.catch_up.head_asked(&bench.cx, peer);
                asked.push(peer);
            }
            None => bench.catch_up.no_more_heads(),
        }
    }
    asked
}

#[test]
fn p6_9_heads_are_asked_of_several_at_once_in_quiet_times_and_p11_2_in_turn_while_the_chain_moves() {
    let mut bench = Bench::claiming(&[]);
    bench.cx.config.heads_from = 3;
    assert_eq!(heads_asked(&mut bench, &[1, 2, 3, 4]), [peer(1), peer(2), peer(3)]);
    assert_eq!(bench.cx.timers.next(), Some((bench.cx.now.mono.after(bench.cx.config.heads_every), Timer::Heads)));
    assert_eq!(heads_asked(&mut bench, &[1]), [peer(1)]);
    bench.wait(Duration::from_secs(1));
    bench.catch_up.head_moved(&mut bench.cx, 1, || COUNT);
    let soon = bench.cx.now.mono.after(bench.cx.config.heads_while_moving / 3);
    assert_eq!(bench.cx.timers.next(), Some((soon, Timer::Heads)));
    let turns: Vec<_> = (0..6).flat_map(|_| heads_asked(&mut bench, &[1, 2, 3])).collect();
    assert_eq!((turns.len(), &turns[..3]), (6, &turns[3..]), "one at a time, in turn");
    assert_eq!(turns[..3].iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from_iter(peers(&[1, 2, 3])));
}

#[test]
fn p6_9_a_new_peer_is_asked_for_its_head_while_few_are_known() {
    let mut bench = Bench::claiming(&[(1, 0)]);
    bench.cx.config.heads_from = 2;
    let ask = |bench: &mut Bench, name| bench.catch_up.peer_identified(&mut bench.cx, peer(name), COUNT).map(|wanted| wanted.whom);
    assert_eq!((ask(&mut bench, 1), ask(&mut bench, 2)), (None, Some(Whom::Only(peer(2)))));
    bench.catch_up.head_claimed(peer(2), 0, false);
    assert_eq!(ask(&mut bench, 3), None, "two are enough");
    bench.catch_up.peer_left(&peer(1));
    assert_eq!(ask(&mut bench, 3), Some(Whom::Only(peer(3))));
}

#[test]
fn p5_2_a_missing_parent_above_our_head_is_caught_up_with_and_one_below_is_asked_of_the_childs_sender() {
    let mut bench = Bench::claiming(&[]);
    for (number, name) in [(9, 1), (9, 2), (4, 2), (3, 3), (1, 3), (5, 4)] {
        bench.catch_up.parent_missing(&mut bench.cx, peer(name), number);
    }
    assert_eq!(bench.cx.timers.next(), Some((bench.cx.now.mono.after(PARENT_GRACE), Timer::MissingParent)));
    bench.catch_up.peer_left(&peer(4));
    let wanted = bench.catch_up.parents_due(3, 2, |_| false);
    assert_eq!(
        wanted.iter().map(|wanted| (wanted.purpose, &wanted.whom)).collect::<Vec<_>>(),
        [(Purpose::Parent { number: 3 }, &Whom::Only(peer(2)))]
    );
    assert_eq!(bench.catch_up.claims().all().map(|(peer, head)| (*peer, head)).collect::<Vec<_>>(), [(peer(1), 8)], "whoever was first");
    assert!(bench.catch_up.parents_due(3, 2, |_| false).is_empty(), "once");
}

#[test]
fn p10_1_what_it_holds_is_bounded() {
    let mut bench = Bench::claiming(&[]);
    (bench.cx.config.page_near, bench.cx.config.page_far) = (256, 256);
    for name in 1..=100 {
        bench.catch_up.head_claimed(peer(name), 1 << 40, false);
    }
    bench.catch_up.plan(&mut bench.cx, 0);
    for number in 0..10_000 {
        bench.catch_up.parent_missing(&mut bench.cx, peer(1), number);
        bench.catch_up.is_first_fault(RequestId(number));
    }
    for _ in 0..3 {
        while bench.next(0).is_some() {
            let request = bench.ask();
            bench.arrives(request, 1, 256);
        }
        let (_, request, _) = bench.catch_up.next_to_judge().expect("it is here");
        bench.catch_up.item_refused(request, peer(1), Refusal::Fork, 0);
        assert!(bench.catch_up.bytes() <= CatchUp::max_bytes(100));
    }
    while bench.next(0).is_some() {
        let request = bench.ask();
        bench.arrives(request, 2, 256);
    }
    let pages = MAX_PAGE_ITEMS * size_of::<SignedCommitment>();
    assert!((pages..=CatchUp::max_bytes(100)).contains(&bench.catch_up.bytes()));
}

impl Bench {
    /// Who is wanted for the page that all wait for, beside the first, where these live together.
    fn second(&mut self, together: &[u8]) -> Option<(u64, Vec<PeerId>)> {
        let together = peers(together);
        let neighbourhood = |peer: &PeerId| {
            let block = if together.contains(peer) { "192.0.2.0/24" } else { "198.51.100.0/24" };
            Some(block.parse().expect("a block"))
        };
        let view = View { head: self.head, has_room: true, serves_pages: &|_| true, neighbourhood: &neighbourhood, line: None };
        let wanted = self.catch_up.second_wanted(&mut self.cx, &view)?;
        let (Purpose::Page { start, .. }, Whom::OneOf(whom)) = (wanted.purpose, wanted.whom) else { panic!("no page") };
        Some((start, whom))
    }

    fn ask_second(&mut self, start: u64, name: u8) -> RequestId {
        self.requests += 1;
        self.catch_up.page_asked(&self.cx, start, RequestId(self.requests), peer(name));
        RequestId(self.requests)
    }

    fn overdue_at(&self) -> Option<Time> {
        self.cx.timers.next().filter(|(_, timer)| *timer == Timer::PageOverdue).map(|(at, _)| at)
    }
}

#[test]
fn p6_9_the_page_that_all_wait_for_is_asked_of_a_second_peer_from_elsewhere_when_the_first_is_slow() {
    let mut bench = Bench::claiming(&[(1, 20), (2, 20), (3, 20)]);
    bench.ask(); // of the first one
    let due = bench.cx.now.mono.after(Duration::from_secs(2));
    assert_eq!((bench.second(&[1, 2]), bench.overdue_at()), (None, Some(due)));
    bench.cx.now.mono = due;
    assert_eq!(bench.second(&[1, 2, 3]), None, "nobody from elsewhere");
    assert_eq!(bench.second(&[1, 2]), Some((1, peers(&[3]))));
    bench.ask_second(1, 3);
    assert_eq!((bench.second(&[1, 2]), bench.overdue_at()), (None, None), "two are enough");
}

#[test]
fn p6_9_whichever_of_two_brings_a_page_first_is_taken_and_the_other_changes_nothing() {
    for first_is_faster in [true, false] {
        let mut bench = Bench::claiming(&[(1, 5), (2, 5)]);
        let one = bench.ask();
        bench.cx.now.mono = Time::from_millis(2_000);
        let other = bench.ask_second(1, 2);
        let [(fast, name), (slow, late)] = if first_is_faster { [(one, 1), (other, 2)] } else { [(other, 2), (one, 1)] };
        bench.arrives(fast, name, 5);
        assert_eq!(bench.catch_up.next_to_judge().map(|(peer, request, items)| (peer, request, items.len())), Some((peer(name), fast, 5)));
        bench.arrives(slow, late, 5);
        assert!(bench.catch_up.next_to_judge().is_none());
    }
}

#[test]
fn p6_9_a_drip_loses_its_page_to_the_second_peer() {
    let mut bench = Bench::claiming(&[(1, 5), (2, 5)]);
    let drip = bench.ask();
    bench.cx.now.mono = Time::from_millis(2_000);
    let other = bench.ask_second(1, 2);
    bench.arrives(drip, 1, 1);
    assert!(bench.catch_up.next_to_judge().is_none(), "one block of five");
    bench.arrives(other, 2, 5);
    assert_eq!(bench.catch_up.next_to_judge().map(|(peer, _, items)| (peer, items.len())), Some((peer(2), 5)));
}

#[test]
fn p6_9_where_one_of_two_fails_the_other_goes_on() {
    let mut bench = Bench::claiming(&[(1, 5), (2, 5)]);
    let one = bench.ask();
    let other = bench.ask_second(1, 2);
    bench.catch_up.page_failed(one, peer(1));
    assert!(!bench.catch_up.waits_for_peer());
    bench.catch_up.page_failed(other, peer(2));
    assert!(bench.catch_up.waits_for_peer(), "now it is with nobody");
}
