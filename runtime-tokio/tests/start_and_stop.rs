//! A node starts, says where it listens, and stops without leaving anything behind.

mod common;

use common::{LIMIT, TestNode, config, soon};
use preconf_tokio::{HandleError, Keypair, NetworkConfig, StartError};

#[tokio::test]
async fn a_node_tells_the_address_that_the_system_chose() {
    let node = TestNode::start(config()).await;
    let text = node.address.to_string();
    assert!(text.starts_with("/ip4/127.0.0.1/tcp/") && !text.contains("/tcp/0/"), "{text}");
    assert!(text.ends_with(&format!("/p2p/{}", node.handle.local_peer_id())), "{text}");
    assert_eq!(node.handle.listen_addresses().await, Ok(vec![node.address.clone()]));
    node.stop().await;
}

#[tokio::test]
async fn a_taken_port_stops_the_start_and_names_the_address() {
    let first = TestNode::start(config()).await;
    let taken = first.address.iter().take(2).collect::<preconf_tokio::Multiaddr>();
    let error = preconf_tokio::node(NetworkConfig { listen: vec![taken.clone()], ..config() }).map(drop).expect_err("the port is taken");
    assert!(matches!(&error, StartError::Listen { address, .. } if *address == taken), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen on {taken}: Address already in use")), "{text}");
    assert!(text.contains("port 0"), "what to do: {text}");
    first.stop().await;
}

#[tokio::test]
async fn an_address_of_another_machine_stops_the_start() {
    // 192.0.2.0/24 is for documentation: no machine has such an address (RFC 5737).
    let listen = vec!["/ip4/192.0.2.1/tcp/0".parse().expect("a multiaddr")];
    let error = preconf_tokio::node(NetworkConfig { listen, ..config() }).map(drop).expect_err("not ours");
    assert!(error.to_string().starts_with("cannot listen on /ip4/192.0.2.1/tcp/0: "), "{error}");
}

#[tokio::test]
async fn a_bad_value_stops_the_start_and_is_named() {
    let error = preconf_tokio::node(NetworkConfig { command_capacity: 0, ..config() }).map(drop).expect_err("no room");
    assert_eq!(error.to_string(), "command_capacity = 0: allowed is 1 to 1048576");
}

#[test]
fn outside_of_a_runtime_the_start_fails_instead_of_panicking() {
    let error = preconf_tokio::node(config()).map(drop).expect_err("no runtime");
    assert!(matches!(error, StartError::NoRuntime { runtime: "tokio", .. }), "{error:?}");
}

#[tokio::test]
async fn shutdown_ends_the_events_and_frees_the_port() {
    let mut node = TestNode::start(config()).await;
    let handle = node.handle.clone();
    soon("shutdown", handle.shutdown()).await;
    soon("the end of the events", async { while node.events.recv().await.is_some() {} }).await;
    soon("the driver's end", node.task).await.expect("no panic in the driver");
    // The same address again, at once.
    let listen = vec![node.address.iter().take(2).collect()];
    TestNode::start(NetworkConfig { listen, ..config() }).await.stop().await;
    // Twice is as good as once, and every other wish is refused.
    soon("a second shutdown", handle.shutdown()).await;
    assert_eq!(handle.get_head(None).await, Err(HandleError::Stopped));
}

#[tokio::test]
async fn the_node_stops_when_its_last_handle_is_dropped() {
    let TestNode { handle, mut events, task, .. } = TestNode::start(config()).await;
    drop(handle.clone());
    assert!(handle.listen_addresses().await.is_ok(), "one handle is left");
    drop(handle);
    soon("the driver's end", task).await.expect("no panic in the driver");
    assert_eq!(tokio::time::timeout(LIMIT, events.recv()).await, Ok(None));
}

#[tokio::test]
async fn a_driver_that_is_aborted_answers_everyone_who_waits() {
    let node = TestNode::start(config()).await;
    node.task.abort();
    assert!(node.task.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(soon("an answer", node.handle.listen_addresses()).await, Err(HandleError::Stopped));
    soon("shutdown", node.handle.shutdown()).await;
}

#[tokio::test]
async fn a_node_needs_no_reader_of_its_events() {
    let (driver, handle, events) = preconf_tokio::node(config()).expect("a node that starts");
    drop(events);
    let task = tokio::spawn(driver.run());
    assert!(soon("an answer", handle.listen_addresses()).await.is_ok());
    drop(handle);
    soon("the driver's end", task).await.expect("no panic in the driver");
}

#[tokio::test]
async fn an_ed25519_key_serves_as_well() {
    TestNode::start(NetworkConfig { keypair: Keypair::generate_ed25519(), ..config() }).await.stop().await;
}
