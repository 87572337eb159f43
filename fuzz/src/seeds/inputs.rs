//! Seeds of the targets that are no stories.

use preconf_bundle::Bundle;
use preconf_core::{DEFAULT_DOMAIN, Evidence, Fault};

use crate::machine::{Kind, Material, peer};

/// A seed.
#[derive(Clone, Debug)]
pub struct Input {
    /// The target that it is for.
    pub target: &'static str,
    /// Names its file in the corpus.
    pub name: String,
    /// What is run.
    pub bytes: Vec<u8>,
}

/// All of them.
pub fn inputs() -> Vec<Input> {
    [signatures(), texts(), numbers(), traces(), worlds(), nodes()].concat()
}

fn input(target: &'static str, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Input {
    Input { target, name: name.into(), bytes: bytes.into() }
}

/// Domain, fault, then for each of two commitments: item, how it is spoiled, what is done to its signature.
fn signatures() -> Vec<Input> {
    let material = Material::get();
    let place = |name: &str| material.named(name) as u8;
    let (block, other) = (3, place("another block 4"));
    let pair = |name: &str, fault: u8, first: u8, second: u8| input("crypto", name, [0, fault, first, 0, 0, second, 0, 0, 0]);
    let mut seeds = vec![
        pair("equivocation", 0, block, other),
        pair("block_after_eop", 1, 7, place("block 9 after the end of its window")),
        pair("broken_link", 2, block, place("block 5 without a known parent")),
        pair("no_equivocation_of_one_block", 0, block, block),
        pair("no_equivocation_of_two_numbers", 0, 1, 2),
        pair("no_equivocation_of_two_signers", 0, 7, place("fork 8")),
        pair("no_eop", 1, 2, 3),
        pair("not_after_the_eop", 1, 7, 2),
        pair("another_window_after_the_eop", 1, 7, 8),
        pair("no_broken_link_where_it_links", 2, 2, 3),
        pair("no_broken_link_between_numbers_apart", 2, 1, 5),
        pair("no_broken_link_between_windows", 2, 7, place("block 9 after the end of its window")),
        input("crypto", "under_another_domain", [1, 9, 0, block, 0, 0, other, 0, 0, 0]),
        input("crypto", "every_recovery_id", [0, 0, block, 0, 1, 2, other, 0, 1, 3, 0]),
        input("crypto", "recovery_id_4", [0, 0, block, 0, 1, 4, other, 0, 1, 255, 0]),
    ];
    seeds.push(input("crypto", "s_of_ones", [&[0, 0, block, 0, 2][..], &[0xff; 32], &[other, 0, 2], &[0; 33]].concat()));
    seeds.push(input("crypto", "r_of_ones", [&[0, 0, block, 0, 3][..], &[0xff; 32], &[other, 0, 3], &[0; 33]].concat()));
    for name in ["high s", "r is zero", "s is no scalar", "v is 27", "another slasher", "another domain"] {
        seeds.push(input("crypto", name.replace(' ', "_"), [0, 0, place(name), 0, 0, block, 0, 0, 0]));
    }
    seeds
}

/// The example of EIP-778.
const EXAMPLE: &str = "enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZuOh8R33Ls8RRcy5wBgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8yWM0xOIN1ZHCCdl8";
/// Where discovery asks a peer whose key stands in its id.
const BOOTNODE: &str = "/ip4/203.0.113.7/udp/9000/p2p/16Uiu2HAm1Qd4aCe6ba3DYhTQfBMHQqDrwB6ZSkbAk8XDeKDEqTJp";

/// A scenario with some of everything.
const SCENARIO: &str = r#"about = "Of everything a little."
seconds = 60
settle_s = 30

[nodes]
honest = 4
degree = 3

[links]
loss = 0.1

[blocks]
every_ms = 2000
"#;

/// A first byte says what text it is.
fn texts() -> Vec<Input> {
    let text = |kind: u8, name: &str, text: &str| input("enr_and_config", name, [&[kind][..], text.as_bytes()].concat());
    let id = peer(3);
    let material = Material::get();
    let of = |name: &str| material.items[material.named(name)].signed.clone();
    let evidence = Evidence { fault: Fault::Equivocation, first: material.items[3].signed.clone(), second: of("another block 4") };
    let bundle = Bundle { domain: DEFAULT_DOMAIN, evidence }.to_json().to_string();
    vec![
        text(0, "subnet_v4", "10.0.0.0/8"),
        text(0, "subnet_v6", "2001:db8::/32"),
        text(0, "subnet_with_bits_beyond_its_prefix", "10.0.0.1/8"),
        text(0, "subnet_dressed_as_v6", "::ffff:10.0.0.0/104"),
        text(0, "subnet_of_everything", "0.0.0.0/0"),
        text(0, "subnet_with_a_sign", "10.0.0.0/+8"),
        text(1, "address_v4", &format!("/ip4/203.0.113.7/tcp/4001/p2p/{id}")),
        text(1, "address_v6", &format!("/ip6/::ffff:203.0.113.7/udp/1/quic-v1/p2p/{id}/")),
        text(1, "address_of_a_name", &format!("/dns4/example.org/tcp/1/p2p/{id}")),
        text(1, "address_behind_a_relay", &format!("/ip4/192.0.2.1/tcp/1/p2p/{id}/p2p-circuit/p2p/{id}")),
        text(1, "address_of_nobody", "/ip4/203.0.113.7/tcp/4001"),
        text(1, "address_of_no_base58", "/ip4/203.0.113.7/tcp/4001/p2p/0OIl"),
        text(2, "evidence", &bundle),
        text(2, "evidence_with_one_more_field", &bundle.replacen('{', "{\"more\":1,", 1)),
        text(2, "evidence_of_another_fault", &bundle.replace("equivocation", "lateness")),
        text(2, "evidence_of_another_version", &bundle.replace("\"version\":1", "\"version\":2")),
        text(2, "evidence_of_no_json", "{"),
        text(2, "evidence_with_odd_digits", &bundle.replacen("0x", "0x0", 1)),
        text(7, "record_of_the_specification", EXAMPLE),
        text(7, "record_cut_off", &EXAMPLE[..80]),
        text(7, "record_with_another_signature", &EXAMPLE.replace("QHCY", "QHCZ")),
        input("enr_and_config", "own_record", [&[8, 0, 0, 0][..], &[7; 16], &[0, 9, 0, 5, 2, 2, 2, 2, 2, 2, 60, 0, 3]].concat()),
        input("enr_and_config", "own_record_of_no_peer", [&[8, 0, 1, 1][..], &[0; 8], &[2, 127, 0, 0, 1, 1, 2, 2]].concat()),
        input("enr_and_config", "own_record_of_nowhere", [&[8, 0, 0, 1][..], &[0; 8], &[3, 3]].concat()),
        text(9, "boot_node_by_record", EXAMPLE),
        text(9, "boot_node_by_address", BOOTNODE),
        text(9, "boot_node_without_a_peer", "/ip4/203.0.113.7/udp/9000"),
        text(10, "scenario", SCENARIO),
        text(10, "scenario_without_seconds", &SCENARIO.replace("60", "0")),
        text(10, "scenario_with_one_more_key", &SCENARIO.replace("degree", "degrees")),
    ]
}

/// Numbers where people write numbers.
fn numbers() -> Vec<Input> {
    let mut seeds = Vec::new();
    for key in 0..34 {
        for (name, number) in [("zero", 0), ("one", 1), ("max", 2)] {
            seeds.push(input("enr_and_config", format!("config_key_{key}_is_{name}"), [3, key, number]));
        }
    }
    seeds.push(input("enr_and_config", "lookahead_of_three_epochs", [4, 0, 2, 1, 5, 0, 1, 3, 0, 0, 0]));
    seeds.push(input("enr_and_config", "lookahead_at_the_end_of_time", [4, 1, 2, 4, 250, 2, 251, 2, 252, 2, 253, 2, 0, 0, 0]));
    seeds.push(input("enr_and_config", "records_of_a_ban", [5, 1, 1, 7, 0, 0, 0, 0, 0, 0, 0, 128, 0, 2, 1, 0, 5, 4, 0, 0]));
    // A score of i64::MIN, and one of i64::MAX.
    let score = |name: u8, low: u8, high: u8| [name, 1, 7, low, low, low, low, low, low, low, high, 0, 0];
    let out_of_range = [&[5][..], &score(0, 0, 128), &score(1, 255, 127)].concat();
    seeds.push(input("enr_and_config", "records_of_scores_out_of_range", out_of_range));
    seeds.push(input("enr_and_config", "records_of_extremes", [5, 2, 2, 2, 2, 3, 1, 2, 2, 2, 4, 0, 2, 9, 2, 2]));
    for (name, kind) in [("bucket", 0), ("window", 1)] {
        let calls: Vec<u8> = [2, 2, 2, 4, 2, 3, 200, 1, 3, 255, 0, 2, 0, 255, 255, 2, 4, 4, 1, 2, 2, 3, 10, 0].repeat(3);
        seeds.push(input("enr_and_config", format!("limits_of_a_{name}"), [&[6, kind, 2, 9, 7, 5, 1][..], &calls].concat()));
    }
    seeds
}

/// A life of a node, and what is done to its trace.
fn traces() -> Vec<Input> {
    let life = [
        [0, 0, 0],
        [1, 0, 0],
        [2, 0, 0],
        [3, 0, 0],
        [2, 1, 0],
        [3, 0, 0],
        [2, 30, 7],
        [5, 0, 1],
        [5, 1, 2],
        [4, 9, 0],
        [6, 1, 1],
        [4, 17, 0],
        [7, 0, 0],
    ];
    let of = |name: &str, place: u16, damage: u8, lives: usize| {
        let [low, high] = place.to_le_bytes();
        input("trace_reader", name, [&[1, low, high, damage][..], &life.concat().repeat(lives)].concat())
    };
    let mut seeds = vec![
        of("cut_within_its_header", 20, 0, 1),
        of("cut_within_a_step", 900, 0, 1),
        of("damaged_at_its_start", 0, 1, 1),
        of("damaged_in_its_header", 40, 128, 1),
        of("damaged_in_a_step", 1_000, 1, 1),
        of("fills_its_tape", 5_900, 2, 12),
        input("trace_reader", "no_trace", [0]),
        input("trace_reader", "text_instead_of_a_trace", *b"\0what is this?"),
    ];
    let mut raw = vec![0];
    raw.extend(crate::trace_reader::recorded(&life.concat()));
    seeds.push(input("trace_reader", "a_whole_trace", raw.clone()));
    raw.truncate(raw.len() / 2);
    seeds.push(input("trace_reader", "half_a_trace", raw));
    seeds
}

/// Seed of the world, four nodes, then moves of three bytes.
fn worlds() -> Vec<Input> {
    let world = |name: &str, moves: &[[u8; 3]]| input("sim_model", name, [&[1, 0, 11, 5, 2][..], &moves.concat()].concat());
    vec![
        input("sim_model", "nothing_happens", []),
        world(
            "links_break_and_heal",
            &[[0, 0, 100], [1, 5, 50], [1, 10, 9], [0, 0, 200], [2, 5, 0], [1, 11, 255], [0, 0, 255], [2, 10, 0]],
        ),
        world("nodes_restart", &[[0, 0, 120], [3, 0, 0], [0, 0, 60], [3, 1, 0], [0, 0, 200], [3, 0, 0]]),
        world("gossip_is_lost_and_repeated", &[[4, 0, 0xf5], [0, 0, 255], [0, 0, 255], [4, 1, 0x0f], [0, 0, 255]]),
        world(
            "a_stranger_says_what_nobody_honest_would",
            &[[5, 1, 1], [5, 2, 60], [0, 0, 60], [5, 7, 200], [6, 3, 0], [6, 6, 90], [5, 0, 239], [0, 0, 100], [5, 9, 250], [5, 9, 3]],
        ),
        world(
            "everything_at_once",
            &[
                [4, 1, 0x33],
                [1, 1, 20],
                [5, 3, 9],
                [0, 0, 80],
                [3, 1, 0],
                [1, 8, 80],
                [0, 0, 90],
                [6, 2, 5],
                [2, 1, 0],
                [7, 0, 9],
                [3, 0, 0],
            ],
        ),
    ]
}

/// Every kind of move once, whether it makes sense or not, under each configuration and with the same outputs twice.
fn nodes() -> Vec<Input> {
    let moves: Vec<u8> = (0..Kind::ALL.len() as u8).flat_map(|kind| [128 + kind, 0, kind, 0]).collect();
    let node = |preset: u8| input("machine_bytes", format!("every_kind_of_move_{preset}"), [&[128 + preset][..], &moves].concat());
    (0..5).map(node).collect()
}
