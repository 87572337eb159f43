//! Stories of one node.

use super::Preset::{Defaults, Host, Operated, Small, Unscheduled};
use super::Who::{Alice, Bob, Carol, Dave, Erin, Nick, Sam, Trent};
use super::{Story, Wait};
use crate::machine::Kind;

/// Every story there is.
pub const STORIES: &[Story] = &[
    Story {
        name: "accepts_a_chain_and_has_it_executed",
        preset: Defaults,
        tell: |node| {
            node.connect(Alice).hears_txlists(Alice, 1..=3).hears_blocks(Alice, 1..=3);
            for number in 1..=3 {
                node.go(Kind::Execute, Alice, number, 0);
            }
            node.go(Kind::Look, Alice, 0, 0);
        },
        reaches: |reached| reached.accepted == 3 && reached.ready == 3,
    },
    Story {
        name: "hands_over_twice",
        preset: Small,
        tell: |node| {
            node.connect(Alice).connect(Bob);
            for number in 1..=24 {
                node.hears_txlists(Bob, number..=number).hears_blocks(Alice, number..=number);
            }
        },
        reaches: |reached| reached.accepted == 24 && reached.ready == 24,
    },
    Story {
        name: "holds_a_child_until_its_parent_comes",
        preset: Small,
        tell: |node| {
            node.connect(Alice).hears_blocks(Alice, 1..=1).hears_blocks(Alice, 3..=5).waits(Wait::Ms100);
            node.go(Kind::AnswerBadly, Alice, 0, 0).hears_blocks(Alice, 2..=2);
        },
        reaches: |reached| reached.held == 3 && reached.accepted == 5,
    },
    Story {
        name: "gives_up_a_child_whose_parent_never_comes",
        preset: Small,
        tell: |node| {
            node.connect(Alice).hears_blocks(Alice, 3..=9).hears(Alice, "far ahead").works();
            for _ in 0..6 {
                node.waits(Wait::Secs30).go(Kind::Look, Alice, 0, 0);
            }
        },
        reaches: |reached| reached.held == 6 && reached.accepted == 0,
    },
    Story {
        name: "catches_up_in_pages",
        preset: Small,
        tell: |node| {
            node.connect(Alice).connect(Bob).connect(Carol).is_answered();
            for _ in 0..12 {
                node.waits(Wait::ToDeadline).is_answered();
            }
            node.waits(Wait::Secs10).is_answered().waits(Wait::Secs10).is_answered();
        },
        reaches: |reached| reached.synced > 0 && reached.accepted >= 24,
    },
    Story {
        name: "catches_up_past_bad_pages",
        preset: Defaults,
        tell: |node| {
            node.connect(Alice).connect(Bob).connect(Carol);
            for how in [21, 60, 61, 62, 24, 200, 255, 5, 3] {
                node.go(Kind::AnswerBadly, Alice, 0, how).works();
            }
            node.waits(Wait::Secs10).is_answered().waits(Wait::Secs10).is_answered().waits(Wait::Secs30).is_answered();
        },
        reaches: |reached| reached.accepted == 24,
    },
    Story {
        name: "drops_a_head_that_nobody_backs",
        preset: Host,
        tell: |node| {
            node.connect(Alice).connect(Bob).go(Kind::AnswerBadly, Alice, 0, 22);
            for how in [0, 1, 2, 5, 30, 31] {
                node.go(Kind::AnswerBadly, Alice, 0, how).waits(Wait::Secs10);
            }
            node.is_answered().waits(Wait::Secs30).is_answered();
        },
        reaches: |reached| reached.accepted > 0,
    },
    Story {
        name: "serves_a_batch_and_a_txlist",
        preset: Small,
        tell: |node| {
            node.connect(Alice).hears_txlists(Alice, 1..=7).hears_blocks(Alice, 1..=7).connect(Bob);
            node.go(Kind::Ask, Bob, 0, 0).go(Kind::Written, Bob, 0, 0).go(Kind::Ask, Bob, 1, 1).go(Kind::Written, Bob, 0, 0);
            node.go(Kind::Ask, Bob, 2, 6).go(Kind::Written, Bob, 0, 0).go(Kind::Ask, Bob, 2, 20).go(Kind::Ask, Bob, 1, 239);
        },
        reaches: |reached| reached.pages_served == 1 && reached.txlists_served == 1,
    },
    Story {
        name: "limits_who_asks_too_much",
        preset: Host,
        tell: |node| {
            node.connect(Alice).connect(Bob).waits(Wait::Minute).hears_blocks(Alice, 1..=2);
            for _ in 0..14 {
                node.go(Kind::Ask, Bob, 1, 1).go(Kind::Ask, Alice, 0, 0).go(Kind::Written, Bob, 0, 0);
            }
            node.go(Kind::Ask, Bob, 0, 250).go(Kind::BrokenRequest, Bob, 0, 0);
        },
        reaches: |reached| reached.pages_served > 0,
    },
    Story {
        name: "bans_a_peer_and_takes_it_back",
        preset: Operated,
        tell: |node| {
            node.connect(Alice).connect(Bob).hears_blocks(Bob, 1..=1);
            for round in ["not elected", "no txlist", "r is zero"] {
                for _ in 0..5 {
                    node.hears(Alice, round).works();
                }
                node.waits(Wait::Secs10).go(Kind::Look, Alice, 0, 0);
            }
            node.waits(Wait::Secs30).go(Kind::Close, Alice, 0, 0).connect(Alice).go(Kind::Dial, Alice, 0, 0);
            node.go(Kind::Operate, Alice, 11, 0).connect(Alice);
        },
        reaches: |reached| reached.banned == 1 && reached.gated == 1,
    },
    Story {
        name: "lets_a_ban_end_by_itself",
        preset: Small,
        tell: |node| {
            node.connect(Alice);
            for _ in 0..3 {
                for how in 0..6 {
                    node.go(Kind::Noise, Alice, 0, how + 1);
                }
                node.waits(Wait::Secs10);
            }
            node.waits(Wait::Secs30).go(Kind::Restart, Alice, 0, 0).connect(Alice).waits(Wait::Hour).connect(Alice).waits(Wait::Year);
        },
        reaches: |reached| reached.banned >= 1 && reached.restarts == 1,
    },
    Story {
        name: "hears_every_fault_there_is",
        preset: Defaults,
        tell: |node| {
            node.connect(Alice).connect(Bob).hears_blocks(Alice, 1..=1);
            for item in 24..node.items() {
                node.go(Kind::Commitment, if item % 2 == 0 { Alice } else { Bob }, item, 0).works();
                if item % 6 == 0 {
                    node.waits(Wait::Minute);
                }
            }
        },
        reaches: |reached| reached.accepted >= 1,
    },
    Story {
        name: "proves_an_equivocation_a_broken_link_and_a_block_after_the_end",
        preset: Small,
        tell: |node| {
            node.connect(Alice).hears_blocks(Alice, 1..=4).hears(Alice, "another block 4").works();
            node.hears(Alice, "block 5 without a known parent").works().hears_blocks(Alice, 5..=8);
            node.hears(Alice, "block 9 after the end of its window").works().go(Kind::Look, Alice, 0, 0);
        },
        reaches: |reached| reached.proven == 3 && reached.accepted == 8,
    },
    Story {
        name: "keeps_a_fork_and_moves_to_it",
        preset: Small,
        tell: |node| {
            node.connect(Alice).hears_txlists(Alice, 1..=7).hears_blocks(Alice, 1..=8).hears(Alice, "fork 8").works();
            node.hears(Alice, "fork 9").works().go(Kind::MoveTip, Alice, 7, 0).go(Kind::MoveTip, Alice, 7, 2).go(
                Kind::MoveTip,
                Alice,
                3,
                1,
            );
            node.hears_blocks(Alice, 4..=9);
        },
        reaches: |reached| reached.forked == 1 && reached.again > 0,
    },
    Story {
        name: "follows_a_reorg_of_the_sync_tip",
        preset: Small,
        tell: |node| {
            node.connect(Alice).hears_txlists(Alice, 1..=6).hears_blocks(Alice, 1..=6).go(Kind::MoveTip, Alice, 5, 0);
            node.go(Kind::MoveTip, Alice, 2, 0).waits(Wait::Second).is_answered().go(Kind::MoveTip, Alice, 24, 0);
            node.go(Kind::MoveTip, Alice, 1, 1).waits(Wait::Secs10).is_answered().go(Kind::MoveTip, Alice, 3, 3);
        },
        reaches: |reached| reached.again > 0,
    },
    Story {
        name: "waits_for_the_schedule",
        preset: Unscheduled,
        tell: |node| {
            node.connect(Alice).hears_blocks(Alice, 1..=4).waits(Wait::Secs3).go(Kind::Schedule, Alice, 2, 0).works();
            node.hears_blocks(Alice, 5..=9).hears(Alice, "beyond the schedule").go(Kind::Schedule, Alice, 6, 0);
            node.go(Kind::Schedule, Alice, 7, 0).go(Kind::Schedule, Alice, 3, 0).works().go(Kind::Schedule, Alice, 1, 0).works();
        },
        reaches: |reached| reached.held == 4 && reached.accepted == 9,
    },
    Story {
        name: "learns_more_windows_than_it_keeps",
        preset: Unscheduled,
        tell: |node| {
            node.connect(Alice).go(Kind::Schedule, Alice, 9, 0).go(Kind::Schedule, Alice, 0, 0).go(Kind::Schedule, Alice, 4, 0);
            node.hears_blocks(Alice, 1..=3).go(Kind::Schedule, Alice, 8, 0).hears_blocks(Alice, 4..=5).go(Kind::Schedule, Alice, 5, 0);
        },
        reaches: |reached| reached.accepted >= 3,
    },
    Story {
        name: "publishes_a_window_of_its_own",
        preset: Small,
        tell: |node| {
            node.go(Kind::PublishTxList, Alice, 0, 0).works().go(Kind::PublishCommitment, Alice, 0, 0).works();
            node.go(Kind::Published, Alice, 0, 1).go(Kind::Published, Alice, 0, 1).connect(Alice);
            node.go(Kind::Published, Alice, 0, 2).go(Kind::Published, Alice, 0, 1).waits(Wait::Second).gets_out();
            for number in 1..=8 {
                node.go(Kind::PublishTxList, Alice, number, 0).works().gets_out();
                node.go(Kind::PublishCommitment, Alice, number, 0).works().gets_out();
            }
        },
        reaches: |reached| reached.published >= 14 && reached.accepted == 9,
    },
    Story {
        name: "never_contradicts_itself_restarts_included",
        preset: Small,
        tell: |node| {
            node.connect(Alice);
            for number in 0..4 {
                node.go(Kind::PublishCommitment, Alice, number, 0).works().gets_out();
            }
            let contradiction = node.place("another block 4");
            node.go(Kind::PublishCommitment, Alice, contradiction, 0).works().go(Kind::Restart, Alice, 0, 0).connect(Alice);
            node.hears_blocks(Alice, 1..=3).go(Kind::PublishCommitment, Alice, contradiction, 0).works().is_answered();
        },
        reaches: |reached| reached.published == 4 && reached.restarts == 1,
    },
    Story {
        name: "publishes_blocks_whole_on_a_slow_disk_and_on_a_new_one",
        preset: Defaults,
        tell: |node| {
            node.connect(Alice).go(Kind::Drain, Alice, 0, 128);
            let write = |node: &mut super::Script, number: usize| {
                node.go(Kind::PublishTxList, Alice, number, 200).go(Kind::JobDone, Alice, 0, 1).waits(Wait::Secs3);
                for _ in 0..12 {
                    node.go(Kind::JobDone, Alice, 0, 1);
                }
                node.gets_out();
            };
            write(node, 0);
            write(node, 1);
            node.go(Kind::Restart, Alice, 0, 0).connect(Alice).gets_out();
            node.go(Kind::Restart, Alice, 0, 192).go(Kind::Operate, Alice, 240, 0).connect(Alice);
            write(node, 0);
        },
        reaches: |reached| reached.published >= 3 && reached.restarts == 2,
    },
    Story {
        name: "is_refused_its_own_bad_messages",
        preset: Small,
        tell: |node| {
            for name in ["not elected", "no txlist", "another slasher", "high s", "fork 8", "far ahead", "beyond the schedule"] {
                let place = node.place(name);
                node.go(Kind::PublishCommitment, Alice, place, 0).works();
            }
            node.go(Kind::PublishTxList, Alice, 0, 1).go(Kind::PublishTxList, Alice, 25, 255).go(Kind::PublishTxList, Alice, 25, 0);
            node.go(Kind::PublishTxList, Alice, 25, 0).go(Kind::PublishTxList, Alice, 3, 0).go(Kind::PublishTxList, Alice, 4, 0);
            node.go(Kind::PublishTxList, Alice, 5, 0).works().go(Kind::Published, Alice, 0, 4).waits(Wait::Year);
        },
        reaches: |reached| reached.accepted == 0,
    },
    Story {
        name: "fetches_a_txlist_from_several_peers",
        preset: Small,
        tell: |node| {
            node.connect(Alice).connect(Bob).connect(Carol).connect(Dave).hears_blocks(Alice, 1..=2).waits(Wait::Ms400);
            for how in [1, 60, 2, 31, 0] {
                node.go(Kind::AnswerBadly, Alice, 0, how).works();
            }
            node.go(Kind::Answer, Alice, 0, 1).waits(Wait::Secs3).is_answered().waits(Wait::Secs10).is_answered();
        },
        reaches: |reached| reached.ready >= 2,
    },
    Story {
        name: "keeps_orphans_within_their_bounds",
        preset: Small,
        tell: |node| {
            node.connect(Alice).connect(Bob);
            for which in [25, 24, 25, 5, 6] {
                node.go(Kind::TxList, Alice, which, 0).works().go(Kind::TxList, Bob, which, 0).works();
            }
            for how in [1, 60, 241, 247, 250] {
                node.go(Kind::TxList, Bob, 7, how).works();
            }
            node.waits(Wait::Minute).hears_blocks(Alice, 1..=6);
        },
        reaches: |reached| reached.accepted == 6,
    },
    Story {
        name: "asks_for_our_user",
        preset: Host,
        tell: |node| {
            node.go(Kind::Fetch, Alice, 0, 1).go(Kind::Fetch, Alice, 0, 0).connect(Alice).connect(Bob).is_answered();
            for which in [0, 1, 2, 4, 7, 10] {
                node.go(Kind::Fetch, Alice, which, 2).go(Kind::Fetch, Bob, which, 3).is_answered();
            }
            for which in 0..6 {
                node.go(Kind::Fetch, Alice, which, 4).go(Kind::Fetch, Alice, 1, 6);
            }
            node.go(Kind::AnswerBadly, Alice, 0, 40).go(Kind::AnswerBadly, Alice, 0, 8).waits(Wait::Secs10).is_answered();
            node.go(Kind::Fetch, Bob, 2, 2).go(Kind::Close, Bob, 0, 0).waits(Wait::Minute);
        },
        reaches: |reached| reached.fetched > 6,
    },
    Story {
        name: "keeps_the_gate",
        preset: Operated,
        tell: |node| {
            for which in [1, 3, 5, 7, 9] {
                node.go(Kind::Operate, Alice, which, 1);
            }
            node.go(Kind::OpenOnly, Alice, 0, 0).go(Kind::OpenOnly, Bob, 1, 0).go(Kind::OpenOnly, Carol, 2, 0).go(
                Kind::OpenOnly,
                Dave,
                4,
                0,
            );
            for which in [2, 4, 6, 8, 10] {
                node.go(Kind::Operate, Alice, which, 1);
            }
            for who in [Alice, Bob, Carol, Dave, Erin] {
                node.go(Kind::OpenOnly, who, 0, 0);
            }
            node.go(Kind::Operate, Carol, 1, 0).go(Kind::Operate, Bob, 3, 0).go(Kind::Operate, Bob, 5, 3).go(Kind::Operate, Bob, 0, 0);
        },
        reaches: |reached| reached.gated >= 2,
    },
    Story {
        name: "dials_static_peers_for_ever",
        preset: Operated,
        tell: |node| {
            for _ in 0..3 {
                node.waits(Wait::Second).go(Kind::DialEnds, Sam, 0, 0).go(Kind::DialEnds, Nick, 0, 1).waits(Wait::Secs10);
                node.go(Kind::Close, Nick, 0, 0);
            }
            for which in 0..8 {
                node.go(Kind::Dial, Trent, which, 0).go(Kind::Dial, Alice, which, 0).go(Kind::DialEnds, Alice, 0, 3);
            }
            node.waits(Wait::Minute).go(Kind::DialEnds, Nick, 0, 1).waits(Wait::Hour);
        },
        reaches: |reached| reached.gated + reached.restarts < 40,
    },
    Story {
        name: "finds_peers_and_dials_the_best",
        preset: Operated,
        tell: |node| {
            node.waits(Wait::Second);
            for (who, how) in [(Alice, 64), (Bob, 97), (Carol, 130), (Dave, 163), (Erin, 224), (Alice, 32)] {
                node.go(Kind::RecordFound, who, 0, how);
            }
            node.go(Kind::RecordFound, Dave, 130, 100).go(Kind::LookUpEnds, Alice, 0, 0).waits(Wait::Secs10);
            node.go(Kind::DialEnds, Alice, 0, 1).go(Kind::DialEnds, Alice, 0, 0).waits(Wait::Minute).go(Kind::LookUpEnds, Alice, 0, 1);
            node.waits(Wait::Minute).go(Kind::Restart, Alice, 0, 0).waits(Wait::Minute);
        },
        reaches: |reached| reached.restarts == 1,
    },
    Story {
        name: "believes_three_neighbourhoods_about_its_address",
        preset: Operated,
        tell: |node| {
            // Whom it dialed answers at 203.0.113.2, 198.51.100.1 and 192.0.2.1; Bob, who came, has no word.
            node.waits(Wait::Second).connect(Bob).go(Kind::DialEnds, Sam, 0, 1).go(Kind::DialEnds, Nick, 0, 18);
            node.go(Kind::Dial, Alice, 0, 0).go(Kind::DialEnds, Alice, 0, 9);
            for (who, address) in [(Bob, 2), (Sam, 2), (Nick, 3), (Alice, 2), (Nick, 6), (Nick, 2), (Alice, 2)] {
                node.go(Kind::AddressObserved, who, address, 0);
            }
        },
        reaches: |reached| reached.agreed == 1,
    },
    Story {
        name: "lets_the_worst_peer_go_for_others",
        preset: Operated,
        tell: |node| {
            for who in [Alice, Bob, Carol, Dave, Erin, Trent] {
                node.connect(who);
            }
            node.hears(Dave, "no txlist").go(Kind::Operate, Carol, 7, 0).connect(Sam).connect(Nick).waits(Wait::Minute);
        },
        reaches: |reached| reached.pruned > 0,
    },
    Story {
        name: "parts_with_a_peer_of_no_use",
        preset: Small,
        tell: |node| {
            node.go(Kind::OpenOnly, Alice, 7, 0).go(Kind::Identify, Alice, 0, 7).go(Kind::OpenOnly, Bob, 7, 0).go(
                Kind::Identify,
                Bob,
                0,
                15,
            );
            node.go(Kind::Subscribe, Alice, 0, 0).go(Kind::Subscribe, Alice, 0, 1).waits(Wait::Secs10).go(Kind::Close, Bob, 0, 0);
        },
        reaches: |reached| reached.accepted == 0,
    },
    Story {
        name: "outlives_a_driver_that_sleeps",
        preset: Small,
        tell: |node| {
            node.connect(Alice)
                .go(Kind::Drain, Alice, 0, 0)
                .hears_blocks(Alice, 1..=6)
                .waits(Wait::Year)
                .go(Kind::Drain, Alice, 0, 0)
                .works();
            node.go(Kind::EarlyTimeout, Alice, 0, 0).go(Kind::ClockJumps, Alice, 255, 0).hears_blocks(Alice, 1..=3);
        },
        reaches: |reached| reached.accepted <= 6,
    },
    Story {
        name: "is_too_late_for_a_window_that_is_over",
        preset: Small,
        tell: |node| {
            node.connect(Alice).waits(Wait::Hour).hears_blocks(Alice, 1..=2).is_answered().waits(Wait::Secs30).is_answered();
        },
        reaches: |reached| reached.accepted >= 12,
    },
    Story {
        name: "hears_of_ids_that_nobody_gave_out",
        preset: Small,
        tell: |node| {
            node.connect(Alice);
            for which in 0..8 {
                node.go(Kind::Stray, Alice, which, which as u8);
            }
            node.go(Kind::Execute, Alice, 1, 0).go(Kind::Execute, Alice, 1, 1).hears_txlists(Alice, 1..=2).hears_blocks(Alice, 1..=2);
            node.go(Kind::Execute, Alice, 1, 1).waits(Wait::Second).go(Kind::Execute, Alice, 1, 0).go(Kind::Execute, Alice, 2, 1);
            node.waits(Wait::Minute);
        },
        reaches: |reached| reached.ready >= 2 && reached.again > 0,
    },
];
