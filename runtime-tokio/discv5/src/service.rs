//! Discovery as the node sees it: orders in, news out; and the one task behind it.
//!
//! The task owns the discv5 service. It ends, and its sockets with it, when [`Discv5`] is dropped.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use discv5::{ConfigBuilder, Event};
use enr::{CombinedKey, NodeId};
use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, SinkExt};
use libp2p_identity::Keypair;
use multiaddr::Multiaddr;
use preconf_core::{LookupId, PeerId};
use preconf_enr::{Bootnode, Enr, SequenceFile, describe, parse, record_key};
use preconf_node::{Discovery, DiscoveryNews};
use tokio::runtime::Handle;

use crate::config::{Discv5Config, Discv5Error};
use crate::own;
use crate::sockets::Sockets;

/// News that may wait for the node. Ours: two look-ups' worth; then the task waits, and strangers with it.
const MAX_NEWS: usize = 64;
/// Orders that may wait for the task. Ours: all the nodes that a machine knows after a restart, and some listeners.
const MAX_ORDERS: usize = 2048;
/// How many others must see us at one address before we believe it. Ours: the crate's ten would keep a small network silent. Whoever can
/// bring five node ids near us can point our record elsewhere, and a network of fewer than six nodes never agrees: who knows the address
/// gives it ([`external`](Discv5Config::external)).
const VOTES: usize = 5;
/// How long a look-up waits for the first boot node to tell its record, while no other node is known. Ours: a round trip anywhere.
const BOOT_LIMIT: Duration = Duration::from_secs(1);

/// Discovery with discv5.
#[derive(Debug)]
pub struct Discv5 {
    orders: mpsc::Sender<Order>,
    news: mpsc::Receiver<DiscoveryNews>,
    local: Enr,
    /// Ends when the last of discv5's tasks has, and with it the last socket.
    ended: mpsc::Receiver<Infallible>,
}

#[derive(Debug)]
enum Order {
    LookUp(LookupId),
    Introduce(String),
    AdvertiseAddress(IpAddr),
    Listening(Multiaddr),
    Silent(Multiaddr),
}

impl Discv5 {
    /// Binds the sockets and starts to serve others on a tokio runtime.
    ///
    /// # Errors
    /// A key, an address or a socket that cannot be used.
    pub fn start(config: Discv5Config, identity: &Keypair, runtime: &Handle) -> Result<Self, Discv5Error> {
        let key = record_key(identity)?;
        let sockets = Sockets::bind(&config.listen)?;
        let mut kept = config.data_dir.as_deref().map(SequenceFile::open).transpose()?;
        let local = own::first(&key, &config, &sockets.addresses, kept.as_mut())?;
        let is_fixed = own::is_fixed(&config, &sockets.addresses);
        let sockets_are_local = sockets.addresses.iter().all(|address| address.ip().is_loopback());
        let entered = runtime.enter();
        let (alive, ended) = mpsc::channel(0);
        let mut settings = ConfigBuilder::new(sockets.into_config()?);
        settings
            .enr_peer_update_min(VOTES)
            .disable_report_discovered_peers()
            .executor(Box::new(Tasks { runtime: runtime.clone(), alive: alive.clone() }));
        // The crate would take our address out of our record for hours when few strangers come within minutes, which in a small and settled
        // network is the usual thing. What cannot be dialed is found out by those who dial.
        settings.auto_nat_listen_duration(None);
        if is_fixed {
            settings.disable_enr_update();
        }
        if !sockets_are_local {
            // One subnet cannot fill the table, and one address opens no sessions without limit. On loopback all have one address.
            settings.ip_limit().enable_packet_filter();
        }
        let service = discv5::Discv5::new(local.clone(), record_key(identity)?, settings.build()).map_err(Discv5Error::Service)?;
        drop(entered);
        let (orders, taken) = mpsc::channel(MAX_ORDERS);
        let (told, news) = mpsc::channel(MAX_NEWS);
        let us = describe(&local).ok().map(|record| record.peer);
        let task =
            Task { service, key, us, is_fixed, bootnodes: config.bootnodes, listeners: BTreeSet::new(), told_sequence: None, kept, told };
        runtime.spawn(async move {
            task.run(taken).await;
            drop(alive);
        });
        Ok(Self { orders, news, local, ended })
    }

    /// Our record as it was at the start. Its later forms are [`DiscoveryNews::OwnRecord`].
    pub fn first_record(&self) -> &Enr {
        &self.local
    }

    fn order(&mut self, order: Order) {
        if let Err(error) = self.orders.try_send(order) {
            tracing::warn!(%error, "an order to discovery is lost");
        }
    }
}

impl Discovery for Discv5 {
    fn look_up(&mut self, lookup: LookupId) {
        self.order(Order::LookUp(lookup));
    }

    fn introduce(&mut self, record: String) {
        self.order(Order::Introduce(record));
    }

    fn advertise_address(&mut self, address: IpAddr) {
        self.order(Order::AdvertiseAddress(address));
    }

    fn listening(&mut self, address: &Multiaddr) {
        self.order(Order::Listening(address.clone()));
    }

    fn expired(&mut self, address: &Multiaddr) {
        self.order(Order::Silent(address.clone()));
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        let Self { orders, news, mut ended, .. } = *self;
        drop((orders, news)); // which is how the task hears of it, whatever it waits for
        async move { while ended.next().await.is_some() {} }.boxed()
    }

    fn poll_news(&mut self, context: &mut Context<'_>) -> Poll<DiscoveryNews> {
        match self.news.poll_next_unpin(context) {
            Poll::Ready(Some(news)) => Poll::Ready(news),
            Poll::Ready(None) | Poll::Pending => Poll::Pending, // a task that ended has said why in the log
        }
    }
}

/// Runs discv5's tasks where ours runs.
#[derive(Clone)]
struct Tasks {
    runtime: Handle,
    /// Never sends anything; each task holds one.
    alive: mpsc::Sender<Infallible>,
}

impl discv5::Executor for Tasks {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        let alive = self.alive.clone();
        drop(self.runtime.spawn(async move {
            future.await;
            drop(alive);
        }));
    }
}

type Found = (LookupId, Result<Vec<Enr>, discv5::QueryError>);

/// What the task has.
struct Task {
    service: discv5::Discv5,
    key: CombinedKey,
    us: Option<PeerId>,
    /// The operator said at which address we are.
    is_fixed: bool,
    bootnodes: Vec<Bootnode>,
    /// What the node listens on. Our record follows.
    listeners: BTreeSet<Multiaddr>,
    /// Which form of our record was told last.
    told_sequence: Option<u64>,
    /// Which numbers our record may have, where that is kept.
    kept: Option<SequenceFile>,
    told: mpsc::Sender<DiscoveryNews>,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        if let Err(error) = self.service.start().await {
            tracing::error!(%error, "discv5 does not start; nobody is looked for");
            return;
        }
        let mut events = match self.service.event_stream().await {
            Ok(events) => events,
            Err(error) => return tracing::error!(%error, "discv5 tells nothing; nobody is looked for"),
        };
        let mut answers = self.ask_bootnodes();
        let mut lookup = None;
        loop {
            self.tell_own().await;
            tokio::select! {
                order = orders.next() => match order {
                    Some(Order::LookUp(id)) => {
                        if self.service.connected_peers() == 0 {
                            answers.extend(self.ask_bootnodes());
                            self.await_first(&mut answers).await;
                        }
                        let query = self.service.find_node(NodeId::random());
                        lookup = Some(query.map(move |found| (id, found)).boxed());
                    }
                    Some(Order::Introduce(record)) => self.introduce(&record),
                    Some(Order::AdvertiseAddress(address)) => self.write_address(address),
                    Some(Order::Listening(address)) => {
                        self.listeners.insert(address);
                        self.write_ports();
                    }
                    Some(Order::Silent(address)) => {
                        self.listeners.remove(&address);
                        self.write_ports();
                    }
                    None => break, // the node is gone
                },
                (id, found) = next_found(&mut lookup) => {
                    lookup = None;
                    self.tell_found(id, found).await;
                }
                Some(answer) = answers.next() => self.take_answer(answer),
                event = events.recv() => match event {
                    Some(Event::SessionEstablished(enr, _)) => self.tell_record(&enr).await,
                    Some(Event::SocketUpdated(address)) => {
                        tracing::info!(%address, "others see this node here");
                        self.write_ports(); // a listener may mean something to others now
                    }
                    Some(_) => {}
                    None => break,
                },
            }
        }
        self.service.shutdown();
    }

    /// Hands every boot node to discv5. Those that are only an address are asked for their record.
    fn ask_bootnodes(&self) -> FuturesUnordered<BoxFuture<'static, Result<Enr, discv5::RequestError>>> {
        let answers = FuturesUnordered::new();
        for node in &self.bootnodes {
            match node {
                Bootnode::Record(enr) => self.add(enr),
                Bootnode::Discovery(address) => answers.push(self.service.request_enr(address.clone()).boxed()),
                Bootnode::Peer(_) => {}
            }
        }
        answers
    }

    /// Waits until one of the boot nodes has told its record; one that is down delays nothing but a node that knows nobody else.
    async fn await_first(&self, answers: &mut FuturesUnordered<BoxFuture<'static, Result<Enr, discv5::RequestError>>>) {
        let first = async {
            while let Some(answer) = answers.next().await {
                let is_good = answer.is_ok();
                self.take_answer(answer);
                if is_good {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(BOOT_LIMIT, first).await; // the others' answers come later
    }

    fn take_answer(&self, answer: Result<Enr, discv5::RequestError>) {
        match answer {
            Ok(enr) => self.add(&enr),
            Err(error) => tracing::debug!(%error, "a boot node does not tell its record"),
        }
    }

    fn introduce(&self, record: &str) {
        match parse(record) {
            Ok(enr) => self.add(&enr),
            Err(error) => tracing::debug!(%error, "a stored record is none"),
        }
    }

    fn add(&self, enr: &Enr) {
        if let Err(error) = self.service.add_enr(enr.clone()) {
            tracing::debug!(error, %enr, "discv5 does not take a record");
        }
    }

    async fn tell_found(&mut self, lookup: LookupId, found: Result<Vec<Enr>, discv5::QueryError>) {
        let succeeded = match found {
            Ok(records) => {
                for enr in &records {
                    self.tell_record(enr).await;
                }
                !records.is_empty()
            }
            Err(error) => {
                tracing::debug!(%error, "a look-up failed");
                false
            }
        };
        self.tell(DiscoveryNews::Finished { lookup, succeeded }).await;
    }

    async fn tell_record(&mut self, enr: &Enr) {
        match describe(enr) {
            Ok(record) if Some(record.peer) == self.us => {}
            Ok(record) => self.tell(DiscoveryNews::Found(Box::new(record))).await,
            Err(error) => tracing::debug!(%error, "a record of no use"),
        }
    }

    /// Puts the address at which peers see us into our record (P8.11), with the ports that we listen on. What discv5's own votes say later
    /// replaces it.
    fn write_address(&self, address: IpAddr) {
        let own = self.service.local_enr();
        let told = if address.is_ipv4() { own.ip4().map(IpAddr::V4) } else { own.ip6().map(IpAddr::V6) };
        if self.is_fixed || told == Some(address) {
            return;
        }
        match self.service.external_enr().write().set_ip(address, &self.key) {
            Ok(_) => tracing::info!(%address, "peers see this node here"),
            Err(error) => return tracing::warn!(%error, "our record does not tell where peers see us"),
        }
        self.write_ports(); // a listener may mean something to others now
    }

    /// Puts the listeners' ports into our record, and takes out those that are gone (P8.7).
    fn write_ports(&self) {
        let wanted = own::ports(&self.listeners, &self.service.local_enr());
        for key in own::PORT_KEYS {
            let told = self.service.local_enr().get_decodable::<u16>(key).and_then(Result::ok);
            let wanted = wanted.get(key).copied();
            if told == wanted {
                continue;
            }
            let written = match wanted {
                Some(port) => self.service.enr_insert(key, &port).map(drop),
                None => self.service.external_enr().write().remove_key(key, &self.key),
            };
            if let Err(error) = written {
                tracing::warn!(%error, key, "our record does not tell what we listen on; the next change tries again");
            }
        }
    }

    /// Tells our record, if it is another one since the last time, whoever changed it.
    async fn tell_own(&mut self) {
        let own = self.service.local_enr();
        if self.told_sequence.replace(own.seq()) != Some(own.seq()) {
            self.reserve(own.seq()).await;
            self.tell(DiscoveryNews::OwnRecord(own.to_base64())).await;
        }
    }

    /// Keeps the numbers of records to come ahead of this one. Rare, and off the loop of the node; nobody but a look-up waits for the disk.
    async fn reserve(&mut self, sequence: u64) {
        let Some(mut kept) = self.kept.take_if(|kept| kept.is_short_at(sequence)) else { return };
        let work = move || {
            let written = kept.follow(sequence);
            (kept, written)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok((kept, written)) => {
                self.kept = Some(kept);
                if let Err(error) = written {
                    tracing::warn!(%error, "the next change of our record tries again");
                }
            }
            Err(error) => tracing::warn!(%error, "the sequence number of our record is no longer kept"),
        }
    }

    async fn tell(&mut self, news: DiscoveryNews) {
        let _ = self.told.send(news).await; // a node that is gone is noticed by its orders
    }
}

/// The end of the query under way, if one is. Cancel safe.
async fn next_found(lookup: &mut Option<BoxFuture<'static, Found>>) -> Found {
    match lookup {
        Some(query) => query.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use preconf_core::{ChainId, ChainLabel};

    use super::*;

    fn start(bootnodes: Vec<Bootnode>) -> (Discv5, Keypair) {
        let identity = Keypair::generate_secp256k1();
        let config = Discv5Config { listen: vec![([127, 0, 0, 1], 0).into()], bootnodes, ..Discv5Config::new(Some(ChainId(7))) };
        (Discv5::start(config, &identity, &Handle::current()).expect("a free port"), identity)
    }

    /// The next news that the test cares for; a test that waits in vain fails by its limit.
    async fn news<T>(discovery: &mut Discv5, wanted: impl Fn(DiscoveryNews) -> Option<T>) -> T {
        let search = async {
            loop {
                if let Some(found) = wanted(poll_fn(|context| discovery.poll_news(context)).await) {
                    return found;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), search).await.expect("news within a minute")
    }

    fn found(news: DiscoveryNews) -> Option<Box<preconf_core::NodeRecord>> {
        if let DiscoveryNews::Found(record) = news { Some(record) } else { None }
    }

    #[tokio::test]
    async fn a_listener_is_told_in_our_record_and_no_longer_when_it_is_gone() {
        let (mut discovery, identity) = start(Vec::new());
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/4001/p2p/{}", identity.public().to_peer_id()).parse().expect("a multiaddr");
        let port = |news| if let DiscoveryNews::OwnRecord(text) = news { Some(parse(&text).expect("ours").tcp4()) } else { None };
        assert_eq!(news(&mut discovery, port).await, None);
        discovery.listening(&address);
        assert_eq!(news(&mut discovery, port).await, Some(4001));
        discovery.expired(&address);
        assert_eq!(news(&mut discovery, port).await, None);
    }

    #[tokio::test]
    async fn a_port_stays_in_our_record_while_any_listener_has_it() {
        let (mut discovery, _) = start(Vec::new());
        let port = |news| if let DiscoveryNews::OwnRecord(text) = news { Some(parse(&text).expect("ours").tcp4()) } else { None };
        assert_eq!(news(&mut discovery, port).await, None);
        let listener = |text: &str| text.parse::<Multiaddr>().expect("a multiaddr");
        let (one, other) = (listener("/ip4/127.0.0.1/tcp/4001"), listener("/ip4/127.0.0.2/tcp/4002"));
        discovery.listening(&one);
        assert_eq!(news(&mut discovery, port).await, Some(4001));
        discovery.listening(&other);
        discovery.expired(&one);
        assert_eq!(news(&mut discovery, port).await, Some(4002));
        discovery.expired(&other);
        assert_eq!(news(&mut discovery, port).await, None);
    }

    #[tokio::test]
    async fn p8_7_a_node_that_starts_again_has_a_record_that_beats_the_one_before() {
        let directory = std::env::temp_dir().join(format!("preconf-discv5-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let identity = Keypair::generate_secp256k1();
        let life = || {
            let config = Discv5Config {
                listen: vec![([127, 0, 0, 1], 0).into()],
                data_dir: Some(directory.clone()),
                ..Discv5Config::new(Some(ChainId(7)))
            };
            Discv5::start(config, &identity, &Handle::current()).expect("a free port")
        };
        let mut first = life();
        let own = |news| if let DiscoveryNews::OwnRecord(text) = news { Some(parse(&text).expect("ours").seq()) } else { None };
        let mut last = news(&mut first, own).await;
        let begin = last;
        for port in 4001..5200 {
            first.listening(&format!("/ip4/127.0.0.1/tcp/{port}").parse().expect("a multiaddr"));
            first.expired(&format!("/ip4/127.0.0.1/tcp/{}", port - 1).parse().expect("a multiaddr"));
            last = news(&mut first, own).await;
        }
        drop(first);
        assert!(last > begin + 1024, "more changes than are reserved at the start");
        let file = directory.join(preconf_enr::SEQUENCE_FILE);
        let stored = || std::fs::read_to_string(&file).expect("a file").trim().parse::<u64>().expect("a number");
        assert!(stored() >= last + 512, "the task reserves more as they are used");
        assert!(life().first_record().seq() > last);
        // The clock went back by an hour, which is as if the file were an hour ahead.
        let ahead = last + 3_600_000;
        std::fs::write(&file, format!("{ahead}\n")).expect("written");
        assert_eq!(life().first_record().seq(), ahead + 1);
        assert_eq!(stored(), ahead + 1025);
        std::fs::remove_dir_all(&directory).expect("ours");
    }

    /// Our record once peers have said where they see us; the node listens on every address of its machine.
    async fn record_seen_at(external: &str, seen: &str) -> Enr {
        let config = Discv5Config {
            external: external.parse().into_iter().collect(),
            listen: vec![([0, 0, 0, 0], 0).into()],
            ..Discv5Config::new(Some(ChainId(7)))
        };
        let mut discovery = Discv5::start(config, &Keypair::generate_secp256k1(), &Handle::current()).expect("a free port");
        discovery.advertise_address(seen.parse().expect("an address"));
        discovery.listening(&"/ip4/10.0.0.1/tcp/4001".parse().expect("a multiaddr"));
        let own = |news| if let DiscoveryNews::OwnRecord(text) = news { Some(parse(&text).expect("ours")) } else { None };
        loop {
            let record = news(&mut discovery, own).await;
            if record.tcp4().is_some() {
                return record;
            }
        }
    }

    #[tokio::test]
    async fn p8_11_where_peers_see_us_stands_in_our_record_with_the_ports_that_we_listen_on() {
        let record = record_seen_at("", "203.0.113.7").await;
        assert_eq!((record.ip4(), record.tcp4()), (Some([203, 0, 113, 7].into()), Some(4001)));
        assert!(record.udp4().is_some_and(|port| port != 0 && port != 4001), "discovery's own port, never that of TCP");
    }

    #[tokio::test]
    async fn p8_11_an_address_that_the_operator_gave_stays_whatever_peers_see() {
        let record = record_seen_at("198.51.100.1", "203.0.113.7").await;
        assert_eq!(record.ip4(), Some([198, 51, 100, 1].into()));
    }

    #[tokio::test]
    async fn two_nodes_find_each_other_through_a_third_that_is_named_by_its_address_alone() {
        let (boot, identity) = start(Vec::new());
        let socket = boot.first_record().udp4_socket().expect("a bound socket");
        let address = format!("/ip4/{}/udp/{}/p2p/{}", socket.ip(), socket.port(), identity.public().to_peer_id());
        let node = || start(vec![address.parse().expect("a boot node")]);
        let ((mut alice, _), (mut bob, bobs)) = (node(), node());
        bob.listening(&"/ip4/127.0.0.1/tcp/4001".parse().expect("a multiaddr"));
        let bobs = bobs.public().to_peer_id().to_string();
        let mut lookup = 0;
        let record = loop {
            lookup += 1;
            bob.look_up(LookupId(lookup));
            news(&mut bob, |news| matches!(news, DiscoveryNews::Finished { .. }).then_some(())).await;
            alice.look_up(LookupId(lookup));
            let either = |news| match news {
                DiscoveryNews::Found(record) => Some(Some(record)),
                DiscoveryNews::Finished { .. } => Some(None),
                DiscoveryNews::OwnRecord(_) => None,
            };
            if let Some(record) = news(&mut alice, either).await
                && record.peer.to_string() == bobs
            {
                break record;
            }
            assert!(lookup < 50, "alice never finds bob");
        };
        assert_eq!(
            (record.chain, record.addresses.as_slice()),
            (ChainLabel::Chain(ChainId(7)), ["/ip4/127.0.0.1/tcp/4001".to_owned()].as_slice())
        );
    }

    #[tokio::test]
    async fn a_look_up_that_knows_nobody_ends_without_success() {
        let (mut discovery, _) = start(Vec::new());
        discovery.look_up(LookupId(1));
        let ended = |news| if let DiscoveryNews::Finished { lookup, succeeded } = news { Some((lookup, succeeded)) } else { None };
        assert_eq!(news(&mut discovery, ended).await, (LookupId(1), false));
    }

    #[tokio::test]
    async fn a_node_is_found_by_the_record_that_it_is_introduced_with() {
        let ((mut alice, _), (bob, _)) = (start(Vec::new()), start(Vec::new()));
        alice.introduce(bob.first_record().to_base64());
        alice.look_up(LookupId(1));
        assert_eq!(news(&mut alice, found).await.text, bob.first_record().to_base64());
    }
}
