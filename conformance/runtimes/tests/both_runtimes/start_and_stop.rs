//! A node starts, says where it listens, and stops without leaving anything behind.

use preconf_node::{HandleError, Keypair, Multiaddr, NetworkConfig, StartError};

use crate::nodes::{End, Task, TestNode, config};
use crate::runtime::{Runtime, on_each_runtime, soon};

on_each_runtime!(
    a_node_tells_the_address_that_the_system_chose,
    a_taken_port_stops_the_start_and_names_the_address,
    an_address_of_another_machine_stops_the_start,
    a_bad_value_stops_the_start_and_is_named,
    shutdown_ends_the_events_and_frees_the_port,
    the_node_stops_when_its_last_handle_is_dropped,
    a_driver_that_is_aborted_answers_everyone_who_waits,
    a_node_needs_no_reader_of_its_events,
    an_ed25519_key_serves_as_well,
);

async fn a_node_tells_the_address_that_the_system_chose<R: Runtime>() {
    let node = TestNode::start::<R>(config()).await;
    let text = node.address.to_string();
    assert!(text.starts_with("/ip4/127.0.0.1/tcp/") && !text.contains("/tcp/0/"), "{text}");
    assert!(text.ends_with(&format!("/p2p/{}", node.handle.local_peer_id())), "{text}");
    assert_eq!(node.handle.listen_addresses().await, Ok(vec![node.address.clone()]));
    node.stop().await;
}

async fn a_taken_port_stops_the_start_and_names_the_address<R: Runtime>() {
    let first = TestNode::start::<R>(config()).await;
    let taken = first.address.iter().take(2).collect::<Multiaddr>();
    let error = R::node(NetworkConfig { listen: vec![taken.clone()], ..config() }).map(drop).expect_err("the port is taken");
    assert!(matches!(&error, StartError::Listen { address, .. } if *address == taken), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen on {taken}: Address already in use")), "{text}");
    assert!(text.contains("port 0"), "what to do: {text}");
    first.stop().await;
}

async fn an_address_of_another_machine_stops_the_start<R: Runtime>() {
    // 192.0.2.0/24 is for documentation: no machine has such an address (RFC 5737).
    let listen = vec!["/ip4/192.0.2.1/tcp/0".parse().expect("a multiaddr")];
    let error = R::node(NetworkConfig { listen, ..config() }).map(drop).expect_err("not ours");
    assert!(error.to_string().starts_with("cannot listen on /ip4/192.0.2.1/tcp/0: "), "{error}");
}

async fn a_bad_value_stops_the_start_and_is_named<R: Runtime>() {
    let error = R::node(NetworkConfig { command_capacity: 0, ..config() }).map(drop).expect_err("no room");
    assert_eq!(error.to_string(), "command_capacity = 0: allowed is 1 to 1048576");
}

async fn shutdown_ends_the_events_and_frees_the_port<R: Runtime>() {
    let mut node = TestNode::start::<R>(config()).await;
    let handle = node.handle.clone();
    soon("shutdown", handle.shutdown()).await;
    soon("the end of the events", async { while node.events.recv().await.is_some() {} }).await;
    assert_eq!(node.task.end().await, End::InOrder);
    // The same address again, at once.
    let listen = vec![node.address.iter().take(2).collect()];
    TestNode::start::<R>(NetworkConfig { listen, ..config() }).await.stop().await;
    // Twice is as good as once, and every other wish is refused.
    soon("a second shutdown", handle.shutdown()).await;
    assert_eq!(handle.get_head(None).await, Err(HandleError::Stopped));
}

async fn the_node_stops_when_its_last_handle_is_dropped<R: Runtime>() {
    let TestNode { handle, mut events, task, .. } = TestNode::start::<R>(config()).await;
    drop(handle.clone());
    assert!(handle.listen_addresses().await.is_ok(), "one handle is left");
    drop(handle);
    assert_eq!(task.end().await, End::InOrder);
    assert_eq!(soon("the end of the events", events.recv()).await, None);
}

async fn a_driver_that_is_aborted_answers_everyone_who_waits<R: Runtime>() {
    let node = TestNode::start::<R>(config()).await;
    node.task.abort();
    assert_eq!(node.task.end().await, End::Aborted);
    assert_eq!(soon("an answer", node.handle.listen_addresses()).await, Err(HandleError::Stopped));
    soon("shutdown", node.handle.shutdown()).await;
}

async fn a_node_needs_no_reader_of_its_events<R: Runtime>() {
    let (driver, handle, events) = R::node(config()).expect("a node that starts");
    drop(events);
    let task = Task::run::<R>(driver);
    assert!(soon("an answer", handle.listen_addresses()).await.is_ok());
    drop(handle);
    assert_eq!(task.end().await, End::InOrder);
}

async fn an_ed25519_key_serves_as_well<R: Runtime>() {
    TestNode::start::<R>(NetworkConfig { keypair: Keypair::generate_ed25519(), ..config() }).await.stop().await;
}
