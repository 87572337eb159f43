//! Does the network live through every scenario, and only because it defends itself?
//!
//! Two seeds of each are played; `.ci/run` plays seeds 0 to 49 besides, with `preconf-conformance sim --all --seeds 0..50`. `SIM_SEEDS` sets
//! another number, `SIM_SEED` one seed.
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::fs;
use std::path::Path;

use preconf_sim::scenario::{self, Change, Scenario, ScenarioError};
use preconf_sim::{at_scale, seeds};

/// The scenarios with hostile peers, or hostile disks: each has a defence that can be switched off.
const HOSTILE: [&str; 10] = [
    "storage_faults",
    "equivocating_preconfer",
    "txlist_withheld",
    "malformed_flood",
    "valid_txlist_flood",
    "slow_readers",
    "lying_heads",
    "strangers",
    "sybil_and_eclipse",
    "eclipse_by_records",
];

/// Seeds of which one must fail without the defence. Most scenarios fail with the first; a crash must hit a disk at the worst moment.
const FEW_SEEDS: u64 = 10;

fn holds(name: &str) {
    let scenario = Scenario::named(name).unwrap();
    for seed in seeds(0..at_scale("SIM_SEEDS", 2, 2)) {
        let report = scenario.run(seed, &Change::default());
        assert!(report.ok, "{name}, seed {seed}: {:?}", report.violations);
        assert_eq!(report.bans.honest, 0);
        assert!(report.steps > 1_000, "too little happened to prove anything: {report:?}");
    }
}

/// The same scenario fails as its file says that it does, when what defends it is switched off.
fn fails_undefended(name: &str) {
    let scenario = Scenario::named(name).unwrap();
    let defence = scenario.defence.clone().unwrap();
    let undefended = Change { without_defence: true, ..Change::default() };
    let report = (0..FEW_SEEDS).map(|seed| scenario.run(seed, &undefended)).find(|report| !report.ok);
    let told = report.map(|report| report.violations.join("; ")).unwrap_or_default();
    assert!(told.contains(&defence.fails), "without {:?} it should fail with {:?}: {told:?}", defence.what, defence.fails);
}

macro_rules! scenarios {
    ($($test:ident $name:literal)*) => {$(
        #[test]
        fn $test() {
            holds($name);
        }
    )*};
}

scenarios! {
    p7_10_a_calm_network_has_every_block_at_once "calm"
    p11_2_a_fifth_of_the_gossip_is_repaired "lossy_20"
    p7_10_a_partition_heals "partition_and_heal"
    p5_9_half_of_the_network_comes_back_with_what_it_kept "half_restart"
    p5_9a_disks_may_be_slow_fail_and_lose_what_they_had_not_confirmed "storage_faults"
    p7_10_clocks_may_be_ten_seconds_apart "skewed_clocks"
    c6_a_late_schedule_costs_nobody_anything "late_schedule"
    p9_3_l1_may_take_back_what_it_settled "l1_reorg"
    an_hour_without_a_block_changes_nothing "chain_stalled_an_hour"
    p5_4_an_equivocating_preconfer_is_proven_by_everybody "equivocating_preconfer"
    p5_6_a_withheld_txlist_is_found "txlist_withheld"
    p7_4_a_flood_of_garbage_is_banned "malformed_flood"
    t5_a_flood_of_valid_txlists_finds_little_room "valid_txlist_flood"
    p6_6_slow_readers_hold_up_nobody_else "slow_readers"
    p6_9_lying_heads_are_found_out "lying_heads"
    p11_1_p6_6_strangers_own_no_figure_and_hold_up_nobody "strangers"
    p8_3_sybils_do_not_surround_a_newcomer "sybil_and_eclipse"
    c9_a_handover_at_the_worst_moment_ends_in_one_chain "handover_at_worst_moment"
    p8_6_a_network_forms_from_one_boot_node "cold_start"
    p8_7_a_thousand_records_of_the_wrong_chain_are_passed_over "wrong_chain_records"
    p8_10_hostile_records_eclipse_nobody "eclipse_by_records"
}

macro_rules! undefended {
    ($($test:ident $name:literal)*) => {$(
        #[test]
        fn $test() {
            fails_undefended($name);
        }
    )*};
}

undefended! {
    p5_9a_without_waiting_for_the_disk_a_preconfer_says_two_things "storage_faults"
    p9_3_without_settlement_an_equivocation_splits_the_network "equivocating_preconfer"
    p5_6_without_asking_for_it_a_withheld_txlist_stays_away "txlist_withheld"
    p7_1_without_charges_a_flood_goes_on "malformed_flood"
    t5_without_quota_and_bound_a_flood_of_txlists_fills_the_memory "valid_txlist_flood"
    p6_6_without_a_share_for_each_peer_slow_readers_take_all "slow_readers"
    p6_4_without_charges_lying_heads_are_put_out_by_nobody "lying_heads"
    p6_6_without_a_share_for_each_neighbourhood_strangers_take_all "strangers"
    p8_3_without_neighbourhoods_a_newcomer_is_surrounded "sybil_and_eclipse"
    p8_10_without_kept_places_and_exchange_hostile_records_eclipse_somebody "eclipse_by_records"
}

#[test]
fn every_scenario_with_hostile_peers_or_disks_says_what_defends_it() {
    for scenario in scenario::all() {
        assert_eq!(scenario.defence.is_some(), HOSTILE.contains(&scenario.name.as_str()), "{}", scenario.name);
        let is_hostile = !scenario.adversaries.is_empty() || scenario.disks.fails > 0.0;
        assert_eq!(is_hostile, scenario.defence.is_some(), "{}", scenario.name);
    }
}

#[test]
fn every_file_of_the_folder_is_among_the_scenarios() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let mut names: Vec<_> = scenario::all().into_iter().map(|scenario| format!("{}.toml", scenario.name)).collect();
    files.sort();
    names.sort();
    assert_eq!(files, names);
}

#[test]
fn a_senseless_value_is_refused_with_its_key() {
    let least = "about = \"x\"\nseconds = 1\nsettle_s = 1\n";
    assert!(Scenario::read("mine", least).is_ok());
    for (key, rest) in [
        ("window_s", "[blocks]\nwindow_s = 0\n"),
        ("every_ms", "[blocks]\nevery_ms = 0\n"),
        ("honest", "[nodes]\nhonest = 0\n"),
        ("drops", "[nodes]\ndrops = nan\n"),
        ("skew_s", "[nodes]\nskew_s = -1.0\n"),
        ("at_s", "[[fault]]\nkind = \"stall\"\nat_s = inf\nfor_s = 1\n"),
        ("share", "[[adversary]]\nkind = \"sybils\"\nshare = 1.0\nat_s = 0\n"),
    ] {
        let error = Scenario::read("mine", &format!("{least}{rest}")).expect_err("refused").to_string();
        assert!(error.contains("is not within"), "{key}: {error}");
        // A table with a kind is read in one piece: its error names the place, and the value.
        assert!(error.contains(key) || rest.contains("kind"), "{key}: {error}");
    }
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let refused = |text: &str| match Scenario::read("mine", text) {
        Err(error @ ScenarioError::Unreadable { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let head = "about = \"mine\"\nseconds = 10\nsettle_s = 5\n";
    assert!(refused(&format!("{head}lenght = 5")).contains("lenght"));
    assert!(refused(&format!("{head}[nodes]\nhonset = 5")).contains("honset"));
    assert!(refused(&format!("{head}[[fault]]\nkind = \"stall\"\nat_s = 1\nfor_s = 2\nshare = 0.5")).contains("share"));
    assert!(refused(&format!("{head}[[adversary]]\nkind = \"saboteur\"")).contains("saboteur"));
    assert!(Scenario::read("mine", head).is_ok());
}

#[test]
fn eclipses_of_every_size_are_survived() {
    let scenario = Scenario::named("sybil_and_eclipse").unwrap();
    for share in [0.1, 0.3, 0.5] {
        let mut sized = scenario.clone();
        for adversary in &mut sized.adversaries {
            if let scenario::Adversary::Sybils { share: of_all, .. } = adversary {
                *of_all = share;
            }
        }
        let report = sized.run(1, &Change::default());
        assert!(report.ok, "{share}: {:?}", report.violations);
    }
}

#[test]
fn seeds_that_once_failed_hold_now() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds");
    for file in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|is| is == "txt"))
    {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let scenario = Scenario::named(name).unwrap_or_else(|| panic!("{name} is no scenario"));
        for line in fs::read_to_string(&file).unwrap().lines() {
            let figures: Vec<u64> = line.split('#').next().unwrap().split_whitespace().map(|figure| figure.parse().unwrap()).collect();
            let [seed, nodes, seconds] = figures[..] else { panic!("{name}: {line}") };
            let some = |figure: u64| (figure > 0).then_some(figure);
            let change = Change {
                nodes: some(nodes).map(|nodes| nodes as usize),
                seconds: some(seconds),
                model_every: Some(1),
                ..Change::default()
            };
            let report = scenario.run(seed, &change);
            assert!(report.ok, "{name}, {line}: {:?}", report.violations);
        }
    }
}
