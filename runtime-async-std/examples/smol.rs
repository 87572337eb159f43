//! The same node on a plain smol executor: two nodes, one asks the other for its head.
//!
//! ```sh
//! cargo run -p preconf-async-std --example smol
//! ```
//!
//! Only the executor of connections is replaced. Sockets and timers stand on the reactor that async-std and smol share, and nothing of
//! async-std's own executor is started.

use std::sync::Arc;
use std::time::Duration;

use preconf_async_std::preconf_core::{ChainId, Config};
use preconf_async_std::{Environment, Keypair, NetworkConfig, NetworkDriver, NetworkEvent, NetworkEvents, NetworkHandle, StartError};
use smol::{Executor, Timer};

type Node = (NetworkDriver, NetworkHandle, NetworkEvents);

fn node(executor: &Arc<Executor<'static>>) -> Result<Node, StartError> {
    let mut config = NetworkConfig::new(Config::new(ChainId(167_000)), Keypair::generate_secp256k1());
    config.listen.push("/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddr"));
    let tasks = Arc::clone(executor);
    let environment =
        Environment { executor: Box::new(move |task| tasks.spawn(task).detach()), ..preconf_async_std::environment(&config)? };
    NetworkDriver::new(config, environment)
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let executor = Arc::new(Executor::new());
    smol::block_on(executor.run(async {
        let (alices_driver, alice, mut events) = node(&executor)?;
        let (bobs_driver, bob, _events) = node(&executor)?;
        let drivers = [executor.spawn(alices_driver.run()), executor.spawn(bobs_driver.run())];

        let Some(NetworkEvent::Listening { address }) = events.recv().await else {
            return Err("alice tells first where she listens".into());
        };
        bob.dial(address).await?;
        // A peer can be asked once it has said what it speaks, which no event tells.
        while !bob.peers().await?.iter().any(|peer| peer.protocols.get_head) {
            Timer::after(Duration::from_millis(1)).await;
        }
        let (peer, head) = bob.get_head(None).await?;
        println!("{peer} answered: its head is block {}", head.block_number);

        alice.shutdown().await;
        bob.shutdown().await;
        for driver in drivers {
            driver.await;
        }
        Ok(())
    }))
}
