use super::*;

const FREE: PeerState = PeerState { banned: false, connected: false, dialing: false };
const TCP: &str = "/ip4/203.0.113.7/tcp/4001";

#[test]
fn p8_1_each_reason_against_a_dial_is_named() {
    let mut gater = gater(&GaterConfig { redial_limit: Some(1), max_per_neighbourhood: 1, ..GaterConfig::default() });
    let (peer, ip) = (peer(1), ip("203.0.113.7"));
    assert_eq!(gater.ask_dial(ms(0), None, TCP, Some(ip), FREE), Err(GaterRefusal::NoPeerId));
    let ask = |gater: &ConnectionGater, state| gater.ask_dial(ms(0), Some(peer), TCP, Some(ip), state);
    assert_eq!(ask(&gater, FREE), Ok(()));
    assert_eq!(ask(&gater, PeerState { banned: true, ..FREE }), Err(GaterRefusal::Banned));
    assert_eq!(ask(&gater, PeerState { connected: true, ..FREE }), Err(GaterRefusal::Connected));
    assert_eq!(ask(&gater, PeerState { dialing: true, ..FREE }), Err(GaterRefusal::Dialing));
    gater.dialed(ms(0), keccak256(TCP));
    assert_eq!(ask(&gater, FREE), Err(GaterRefusal::Redialed { limit: 1, again_at: ms(3_600_000) }));
    gater.opened(ip);
    assert_eq!(ask(&gater, FREE), Err(GaterRefusal::NeighbourhoodFull { max: 1 }));
    let subnet = "203.0.112.0/23".parse().expect("a block");
    assert_eq!(gater.block_subnet(subnet), Ok(true));
    assert_eq!(ask(&gater, FREE), Err(GaterRefusal::SubnetBlocked(subnet)));
    assert_eq!(gater.block_address(ip), Ok(true));
    assert_eq!(ask(&gater, FREE), Err(GaterRefusal::AddressBlocked));
    assert_eq!(gater.block_peer(peer), Ok(true));
    assert_eq!(ask(&gater, FREE), Err(GaterRefusal::PeerBlocked));
    assert!(gater.unblock_peer(peer) && gater.unblock_address(ip) && gater.unblock_subnet(subnet));
    gater.closed(ip);
    assert_eq!(gater.ask_dial(ms(3_600_000), Some(peer), TCP, Some(ip), FREE), Ok(()));
}

#[test]
fn p8_1_a_connection_is_asked_about_with_the_address_that_it_really_has() {
    let mut gater = gater(&GaterConfig { blocked_subnets: vec!["203.0.113.0/24".parse().expect("a block")], ..GaterConfig::default() });
    // A name tells nothing before it is looked up.
    assert_eq!(gater.ask_dial(ms(0), Some(peer(1)), "/dns/example.org/tcp/1", None, FREE), Ok(()));
    let connected = PeerState { connected: true, ..FREE };
    for address in ["203.0.113.7", "::ffff:203.0.113.7"] {
        assert!(matches!(gater.ask_connection(peer(1), Some(ip(address)), connected), Err(GaterRefusal::SubnetBlocked(_))), "{address}");
    }
    assert_eq!(gater.ask_connection(peer(1), Some(ip("203.0.114.7")), connected), Ok(()));
    assert_eq!(gater.ask_connection(peer(1), None, PeerState { banned: true, ..FREE }), Err(GaterRefusal::Banned));
    assert_eq!(gater.block_address(ip("::ffff:203.0.114.7")), Ok(true));
    assert_eq!(gater.ask_connection(peer(1), Some(ip("203.0.114.7")), connected), Err(GaterRefusal::AddressBlocked));
}

#[test]
fn p8_1_a_block_of_one_address_or_of_a_whole_family_works_like_any_other() {
    for text in ["0.0.0.0/0", "203.0.113.7/32"] {
        let mut gater = gater(&GaterConfig::default());
        let subnet = text.parse().expect("a block");
        assert_eq!(gater.block_subnet(subnet), Ok(true));
        assert_eq!(gater.ask_connection(peer(1), Some(ip("203.0.113.7")), FREE), Err(GaterRefusal::SubnetBlocked(subnet)));
        assert_eq!(gater.ask_connection(peer(1), Some(ip("2001:db8::7")), FREE), Ok(()));
    }
}

#[test]
fn p8_1_without_a_limit_an_address_is_dialed_for_ever_and_costs_no_memory() {
    let mut gater = gater(&GaterConfig::default());
    for _ in 0..10_000 {
        assert_eq!(gater.ask_dial(ms(0), Some(peer(1)), TCP, None, FREE), Ok(()));
        gater.dialed(ms(0), keccak256(TCP));
    }
    assert!(gater.redials.is_empty());
}

#[test]
fn p8_1_the_redial_limit_counts_each_address_by_itself_and_ends_with_its_period() {
    let hour = ms(3_600_000);
    let mut gater = gater(&GaterConfig { redial_limit: Some(2), ..GaterConfig::default() });
    for _ in 0..2 {
        assert_eq!(gater.ask_dial(ms(5), Some(peer(1)), TCP, None, FREE), Ok(()));
        gater.dialed(ms(5), keccak256(TCP));
    }
    let refused = Err(GaterRefusal::Redialed { limit: 2, again_at: ms(3_600_005) });
    assert_eq!(gater.ask_dial(hour, Some(peer(1)), TCP, None, FREE), refused);
    assert_eq!(gater.ask_dial(hour, Some(peer(1)), "/ip4/203.0.113.7/tcp/4002", None, FREE), Ok(()));
    assert_eq!(gater.ask_dial(ms(3_600_005), Some(peer(1)), TCP, None, FREE), Ok(()));
    gater.dialed(ms(3_600_005), keccak256(TCP));
    assert_eq!(gater.ask_dial(ms(3_600_006), Some(peer(1)), TCP, None, FREE), Ok(()));
}

#[test]
fn p8_1_a_protected_peer_passes_the_redial_limit_and_the_neighbourhood_but_no_block() {
    let mut gater = gater(&GaterConfig { redial_limit: Some(1), max_per_neighbourhood: 1, ..GaterConfig::default() });
    let ip = ip("203.0.113.7");
    gater.dialed(ms(0), keccak256(TCP));
    gater.opened(ip);
    assert!(gater.ask_dial(ms(0), Some(peer(1)), TCP, Some(ip), FREE).is_err());
    assert_eq!(gater.protect(peer(1)), Ok(true));
    assert_eq!(gater.ask_dial(ms(0), Some(peer(1)), TCP, Some(ip), FREE), Ok(()));
    assert_eq!(gater.block_peer(peer(1)), Ok(true));
    assert_eq!(gater.ask_dial(ms(0), Some(peer(1)), TCP, Some(ip), FREE), Err(GaterRefusal::PeerBlocked));
}

#[test]
fn p8_3_the_ninth_connection_of_a_neighbourhood_is_refused() {
    let mut gater = gater(&GaterConfig::default());
    for last in 0..8 {
        let ip = IpAddr::from([203, 0, 113, last]);
        assert_eq!(gater.ask_connection(peer(last), Some(ip), FREE), Ok(()));
        gater.opened(ip);
    }
    let ninth = Some(ip("203.0.113.200"));
    assert_eq!(gater.ask_connection(peer(9), ninth, FREE), Err(GaterRefusal::NeighbourhoodFull { max: 8 }));
    gater.closed(ip("203.0.113.0"));
    assert_eq!(gater.ask_connection(peer(9), ninth, FREE), Ok(()));
}

#[test]
fn every_list_is_bounded_and_says_when_it_is_full() {
    let mut gater = gater(&GaterConfig { redial_limit: Some(1), ..GaterConfig::default() });
    for n in 0..5000u32 {
        let full = if n < 4096 { Ok(true) } else { Err(GaterFull) };
        assert_eq!(gater.block_address(IpAddr::from(n.to_be_bytes())), full);
        gater.dialed(Time(n.into()), keccak256(n.to_string()));
    }
    assert_eq!(gater.block_address(ip("0.0.0.0")), Ok(false), "what is listed already needs no room");
    assert_eq!((gater.redials.len(), gater.by_start.len()), (MAX_REDIALS, MAX_REDIALS));
    assert_eq!(gater.ask_dial(Time(5000), Some(peer(1)), "0", None, FREE), Ok(()), "the oldest is forgotten");
    assert!(gater.ask_dial(Time(5000), Some(peer(1)), "4999", None, FREE).is_err());
    for n in 0..=MAX_REDIALS / EXPIRED_AT_ONCE {
        gater.dialed(Time(3_600_005_000), keccak256("4999")); // one whose period is over
        assert_eq!(gater.redials.len(), gater.by_start.len(), "after {n}");
        assert!(gater.ask_dial(Time(3_600_005_000), Some(peer(1)), "4999", None, FREE).is_err(), "which starts anew");
    }
    assert_eq!((gater.redials.len(), gater.by_start.len()), (1, 1), "periods that are over cost nothing");
}

#[test]
fn the_lists_can_be_shown() {
    let mut gater = gater(&GaterConfig::default());
    gater.block_peer(peer(2)).expect("room");
    gater.block_peer(peer(1)).expect("room");
    gater.block_address(ip("192.0.2.1")).expect("room");
    gater.block_subnet("10.0.0.0/8".parse().expect("a block")).expect("room");
    gater.protect(peer(3)).expect("room");
    assert_eq!(gater.blocked_peers().collect::<Vec<_>>(), [peer(1), peer(2)]);
    assert_eq!(gater.blocked_addresses().collect::<Vec<_>>(), [ip("192.0.2.1")]);
    assert_eq!(gater.blocked_subnets().map(|block| block.to_string()).collect::<Vec<_>>(), ["10.0.0.0/8"]);
    assert_eq!(gater.protected_peers().collect::<Vec<_>>(), [peer(3)]);
    assert!(gater.unprotect(peer(3)) && !gater.is_protected(peer(3)));
}

#[test]
fn a_bad_value_names_its_key() {
    let key = |config: GaterConfig| ConnectionGater::new(&config).expect_err("refused").key;
    assert_eq!(key(GaterConfig { redial_limit: Some(0), ..GaterConfig::default() }), "redial_limit");
    assert_eq!(key(GaterConfig { redial_period: Duration::ZERO, ..GaterConfig::default() }), "redial_period");
    assert_eq!(key(GaterConfig { max_per_neighbourhood: 0, ..GaterConfig::default() }), "max_per_neighbourhood");
    let many = vec!["10.0.0.0/8".parse().expect("a block"); 4097];
    assert_eq!(key(GaterConfig { blocked_subnets: many, ..GaterConfig::default() }), "blocked_subnets");
}

fn gater(config: &GaterConfig) -> ConnectionGater {
    ConnectionGater::new(config).expect("allowed")
}

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, n]).expect("a short id")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn ms(ms: u64) -> Time {
    Time::from_millis(ms)
}
