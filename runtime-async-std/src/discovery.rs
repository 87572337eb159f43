//! How does a node on async-std find others?
//!
//! The `discv5` crate runs on tokio alone. So this feature, off by default, brings a tokio runtime of one thread, named `preconf-discv5`, that
//! runs nothing else and ends with the discovery that it was made for. The node stays on async-std, and polls it through channels.

use std::net::IpAddr;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use futures::future::BoxFuture;
use libp2p_identity::Keypair;
use multiaddr::Multiaddr;
use preconf_core::LookupId;
use preconf_discv5::{Discv5, Discv5Config, Discv5Error};
use preconf_enr::Enr;
use preconf_node::{Discovery, DiscoveryNews};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// The thread's name.
const NAME: &str = "preconf-discv5";

/// Discovery with discv5 on a thread of its own. The thread is gone when this is dropped.
#[derive(Debug)]
pub struct Discv5Thread {
    service: Discv5,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts discv5 on a thread of its own, as the [`discovery`](preconf_node::Environment::discovery) of a node with this identity. The machine looks
/// for others only where its configuration says so ([`Config::discovery`](preconf_core::Config::discovery)).
///
/// # Errors
/// A key, an address or a socket that cannot be used, or no thread.
pub fn discv5(config: Discv5Config, identity: &Keypair) -> Result<Discv5Thread, Discv5Error> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Discv5Error::Thread)?;
    let service = Discv5::start(config, identity, runtime.handle())?;
    let (stop, stopped) = oneshot::channel::<()>();
    let run = move || {
        let _ = runtime.block_on(stopped); // an error says that whoever would stop it is gone, which is the same
    };
    let thread = std::thread::Builder::new().name(NAME.to_owned()).spawn(run).map_err(Discv5Error::Thread)?;
    Ok(Discv5Thread { service, stop: Some(stop), thread: Some(thread) })
}

impl Discv5Thread {
    /// Our record as it was at the start. Its later forms are [`DiscoveryNews::OwnRecord`].
    pub fn first_record(&self) -> &Enr {
        self.service.first_record()
    }
}

impl Discovery for Discv5Thread {
    fn look_up(&mut self, lookup: LookupId) {
        self.service.look_up(lookup);
    }

    fn introduce(&mut self, record: String) {
        self.service.introduce(record);
    }

    fn advertise_address(&mut self, address: IpAddr) {
        self.service.advertise_address(address);
    }

    fn listening(&mut self, address: &Multiaddr) {
        self.service.listening(address);
    }

    fn expired(&mut self, address: &Multiaddr) {
        self.service.expired(address);
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        drop(self); // joins the thread, and with it every socket is gone
        Box::pin(std::future::ready(()))
    }

    fn poll_news(&mut self, context: &mut Context<'_>) -> Poll<DiscoveryNews> {
        self.service.poll_news(context)
    }
}

impl Drop for Discv5Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        // The thread waits for nothing but this, so the join is short; without it the socket could outlive us.
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread of discovery panicked");
        }
    }
}
