//! What happened, in words: one line for each thing that a machine is told or says.
//!
//! Long bytes are told by their length, so that a line stays a line; ids and hashes are whole, so that one can search for them.

use preconf_core::{
    Accepted, Action, Cause, Change, Command, Event, Input, Job, Now, Outcome, Output, Reason, Record, Response, Source, SyncTip, Time,
    Timer, Update, Work,
};
use preconf_trace::{Answer, Call, Ending};

/// A moment, on both clocks.
pub fn now(now: Now) -> String {
    format!("{} (unix {})", time(now.mono), seconds(now.unix.0))
}

/// A moment after the node's start.
pub fn time(at: Time) -> String {
    format!("{} s", seconds(at.0))
}

fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Millionths of a point, as points.
pub fn points(millionths: i64) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let size = millionths.unsigned_abs();
    format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000)
}

/// What the machine was told.
pub fn call(call: &Call) -> String {
    match call {
        Call::Input(told) => input(told),
        Call::JobDone(job) => format!("job {job} came back"),
        Call::Command(wanted) => format!("the application: {}", command(wanted)),
        Call::Update(decided) => format!("the application: {}", update(decided)),
        Call::Timeout => "time had passed".to_owned(),
    }
}

fn input(input: &Input) -> String {
    match input {
        Input::ConnectionOpened { peer, connection, direction, address, dial } => {
            let address = address.map_or("no address".to_owned(), |address| address.to_string());
            let dial = dial.map_or(String::new(), |dial| format!(", dial {dial}"));
            format!("connection {connection} with {peer} opened, {direction:?}, {address}{dial}")
        }
        Input::ConnectionClosed { peer, connection } => format!("connection {connection} with {peer} closed"),
        Input::DialFailed { dial, failure } => format!("dial {dial} failed: {failure}"),
        Input::RecordFound { record } => {
            format!("found record {} of {}, {:?}, at {}", record.sequence, record.peer, record.chain, record.addresses.join(" "))
        }
        Input::LookupFinished { lookup, succeeded } => {
            format!("look-up {lookup} ended, {}", if *succeeded { "somebody answered" } else { "nobody answered" })
        }
        Input::PeerIdentified { peer, protocols } => format!("{peer} speaks {protocols:?}"),
        Input::AddressObserved { peer, address } => format!("{peer} sees this node at {address}"),
        Input::PeerSubscribed { peer, topic } => format!("{peer} joined {topic:?}"),
        Input::PeerUnsubscribed { peer, topic } => format!("{peer} left {topic:?}"),
        Input::GossipReceived { peer, message, topic, data } => {
            format!("gossip on {topic:?} from {peer}: message {message}, {} bytes", data.len())
        }
        Input::RequestReceived { peer, channel, protocol, body } => {
            format!("request {protocol:?} from {peer} on channel {channel}, {} bytes", body.len())
        }
        Input::RequestBroken { peer } => format!("a request of {peer} that is no frame"),
        Input::ChannelClosed { channel } => format!("channel {channel} closed"),
        Input::ResponseReceived { request, body } => format!("request {request} was answered, {} bytes", body.len()),
        Input::RequestFailed { request, failure } => format!("request {request} failed: {failure}"),
        Input::PublishFinished { publish, outcome } => format!("publication {publish}: {outcome:?}"),
        Input::Persisted { id } => format!("record {id} is on disk"),
        Input::ReadingStopped { since } => format!("nothing has been read from the network since {:.3} s", since.0 as f64 / 1e6),
        Input::ReadingResumed => "the network is read again".to_owned(),
        Input::PersistFailed { id, failure } => format!("record {id} was not written: {failure}"),
        Input::JobFinished(done) => format!("job {} came back with {:?}", done.id, done.found),
    }
}

fn command(command: &Command) -> String {
    let whom = |peer: &Option<_>| peer.map_or("the best peer".to_owned(), |peer: preconf_core::PeerId| peer.to_string());
    match command {
        Command::PublishCommitment(signed) => format!("publish the commitment to block {}", signed.preconf().block_number),
        Command::PublishTxList(txlist) => format!("publish a txlist of {} bytes", txlist.len()),
        Command::PublishBlock { commitment, txlist } => {
            format!("publish block {} with its txlist of {} bytes", commitment.preconf().block_number, txlist.len())
        }
        Command::GetHead { peer } => format!("ask {} for its head", whom(peer)),
        Command::GetCommitments { start, count, peer } => format!("ask {} for {count} commitments from block {start} on", whom(peer)),
        Command::GetTxList { hash, peer } => format!("ask {} for txlist {hash}", whom(peer)),
        Command::Dial { address } => format!("dial {address}"),
    }
}

fn update(update: &Update) -> String {
    match update {
        Update::Disconnect { peer } => format!("disconnect {peer}"),
        Update::BlockPeer { peer } => format!("block {peer}"),
        Update::UnblockPeer { peer } => format!("unblock {peer}"),
        Update::BlockAddress { address } => format!("block {address}"),
        Update::UnblockAddress { address } => format!("unblock {address}"),
        Update::BlockSubnet { subnet } => format!("block {subnet}"),
        Update::UnblockSubnet { subnet } => format!("unblock {subnet}"),
        Update::Protect { peer } => format!("protect {peer}"),
        Update::Unprotect { peer } => format!("protect {peer} no longer"),
        Update::Trust { peer } => format!("trust {peer}"),
        Update::Distrust { peer } => format!("trust {peer} no longer"),
        Update::LiftBan { peer } => format!("lift the ban of {peer}"),
        Update::Schedule(windows) => {
            let span = windows.first().zip(windows.last()).map_or(String::new(), |(a, b)| format!(" over ({}, {}]", a.start, b.end));
            format!("{} windows of the schedule{span}", windows.len())
        }
        Update::MoveSyncTip(SyncTip { block_number, preconfirmation_hash }) => {
            format!("the sync tip is block {block_number}{}", preconfirmation_hash.map_or(String::new(), |hash| format!(", {hash}")))
        }
        Update::OverrideSyncing { window_end } => {
            format!("publish in the window until {window_end}, whatever our key has signed elsewhere")
        }
        Update::Restore(records) => format!("take back {} records", records.len()),
        Update::MarkExecuted { block_number } => format!("block {block_number} is executed"),
        Update::MarkFailed { block_number } => format!("block {block_number} could not be executed"),
    }
}

/// How the machine answered a command or an update.
pub fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Command(Ok(id)) => format!("taken as command {id}"),
        Answer::Command(Err(error)) => format!("refused: {error}"),
        Answer::Update(Ok(())) => "taken".to_owned(),
        Answer::Update(Err(error)) => format!("refused: {error}"),
    }
}

/// What the machine said.
pub fn output(output: &Output) -> String {
    match output {
        Output::Net(order) => format!("to the network: {}", action(order)),
        Output::Job(Job { id, work: Work::Recover { commitment, .. } }) => {
            format!("job {id}: recover the signer of block {}", commitment.preconf().block_number)
        }
        Output::Job(Job { id, work: Work::Hash { txlist } }) => format!("job {id}: hash {} bytes", txlist.len()),
        Output::App(news) => format!("to the application: {}", event(news)),
        Output::Persist { id, record } => format!("record {id}: {}", self::record(record)),
    }
}

fn record(record: &Record) -> String {
    match record {
        Record::Began { at } => format!("our records begin at unix {}", seconds(at.0)),
        Record::Committed(own) => format!("we committed to block {}, {}", own.block_number(), own.hash()),
        Record::Known(node) => format!("{} was of use", node.record.peer),
        Record::Peer { peer, score, ban_ends, .. } => {
            let ban = ban_ends.map_or(String::new(), |ends| format!(", banned until unix {}", seconds(ends.0)));
            format!("{peer} stands at {}{ban}", points(*score))
        }
        Record::Schedule(windows) => format!("a schedule of {} windows", windows.len()),
        Record::SyncTip(tip) => format!("the sync tip at block {}", tip.block_number),
        Record::Commitment(accepted) => block(accepted),
        Record::ChainDropped { from } => format!("what was kept of the chain from block {from} on is not of it any more"),
        Record::TxList { hash, txlist } => format!("txlist {hash}, {} bytes", txlist.len()),
        Record::Evidence { evidence, signer } => format!("evidence of {} by {signer}", evidence.fault.label()),
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::Publish { publish, topic, data } => format!("publish {publish} on {topic:?}, {} bytes", data.len()),
        Action::ReportGossip { message, peer, verdict } => format!("{verdict:?} message {message} from {peer}"),
        Action::SendRequest { request, peer, protocol, body } => {
            format!("send request {request} to {peer}: {protocol:?}, {} bytes", body.len())
        }
        Action::Respond { channel, response } => {
            let what = match response {
                Response::Head(head) => format!("head {} of window {}", head.block_number, head.submission_window_end),
                Response::Commitments(page) => format!("commitments, {} bytes", page.len()),
                Response::TxList(list) => format!("txlist {}, {} bytes", list.hash, list.txlist.len()),
            };
            format!("answer on channel {channel}: {what}")
        }
        Action::DropRequest { channel } => format!("drop the request on channel {channel}"),
        Action::CancelRequest { request } => format!("forget request {request}"),
        Action::Dial { dial, address } => format!("dial {dial}: {address}"),
        Action::LookUp { lookup } => format!("look for others, look-up {lookup}"),
        Action::Introduce { record } => format!("begin from {record}"),
        Action::AdvertiseAddress { address } => format!("others see this node at {address}"),
        Action::Disconnect { peer } => format!("disconnect {peer}"),
        Action::CloseConnection { connection } => format!("close connection {connection}"),
        Action::Block { peer } => format!("block {peer}"),
        Action::Unblock { peer } => format!("unblock {peer}"),
        Action::SetScore { peer, score } => format!("the score of {peer} is {}", points(*score)),
    }
}

fn event(event: &Event) -> String {
    match event {
        Event::CommandFinished { command, outcome } => format!("command {command} has ended: {}", how(outcome)),
        Event::PeerConnected { peer } => format!("{peer} is connected"),
        Event::PeerDisconnected { peer } => format!("{peer} is gone"),
        Event::StandingChanged { peer, standing, rule } => format!("{peer} is {} by {rule}", standing.label()),
        Event::CommitmentAccepted { commitment, source } => format!("accepted {}, {}", block(commitment), origin(*source)),
        Event::TxListStored { hash, len_bytes, source } => format!("stored txlist {hash}, {len_bytes} bytes, {}", origin(*source)),
        Event::MessageRefused { peer, topic, refusal } => {
            let place = topic.map_or("a response".to_owned(), |topic| format!("gossip on {topic:?}"));
            format!("refused {place} from {peer} by {}: {refusal}", refusal.rule())
        }
        Event::BlockReady { commitment, txlist } => {
            let list = txlist.as_ref().map_or("no txlist".to_owned(), |txlist| format!("{} bytes", txlist.len()));
            format!("ready to execute: {}, {list}", block(commitment))
        }
        Event::Handoff { commitment, next } => {
            format!("handed over with {}, next {}", block(commitment), next.map_or("unknown".to_owned(), |next| next.to_string()))
        }
        Event::Forked { canonical, other, .. } => format!("fork: {} stays, {} does not", block(canonical), block(other)),
        Event::EvidenceFound { evidence, signer, block_number } => {
            format!("evidence of {} by {signer} at block {block_number}", evidence.fault.label())
        }
        Event::SyncProgress { from, at, to } => format!("catching up from {from}: at {at} of {to}"),
        Event::Synced { head } => format!("caught up at {head}"),
        Event::ExecutionFailed { block_number, again_in } => format!("block {block_number} failed, again in {again_in:?}"),
        Event::PublishingAgain { command, block_number, hash } => {
            format!("command {command}: block {block_number} ({hash}) of before the restart is published again")
        }
        Event::PublicationSeen { command, block_number, peer, peers, .. } => {
            format!("command {command}: {peer} has our block {block_number}, as {peers} peers so far")
        }
        Event::StorageFailed { failure } => format!("a record was not written: {failure}"),
        Event::ExecuteAgain { from } => format!("execute again from block {from} on"),
        Event::RuleBroken { parent, child, rule } => {
            format!("block {} breaks the rule {rule:?} towards {}", child.preconf().block_number, block(parent))
        }
    }
}

fn block(commitment: &Accepted) -> String {
    format!("block {} ({})", commitment.block_number, commitment.hash)
}

fn origin(source: Source) -> String {
    match source {
        Source::Gossip(peer) => format!("gossip from {peer}"),
        Source::Response(peer) => format!("a response of {peer}"),
        Source::Own => "our own".to_owned(),
        Source::Kept => "kept".to_owned(),
    }
}

fn how(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Published(message) => format!("published as {message}"),
        Outcome::NotPublished(error) => format!("not published: {error}"),
        Outcome::Head { peer, head } => format!("the head of {peer} is {}", head.block_number),
        Outcome::Commitments { peer, commitments } => format!("{} commitments of {peer}", commitments.len()),
        Outcome::TxList { peer, txlist: Some(txlist) } => format!("a txlist of {peer}, {} bytes", txlist.len()),
        Outcome::TxList { peer, txlist: None } => format!("{peer} does not have the txlist"),
        Outcome::RequestFailed { peer, error } => format!("{peer} did not answer well: {error}"),
        Outcome::Connected(peer) => format!("connected with {peer}"),
        Outcome::NotConnected(failure) => format!("not connected: {failure}"),
        Outcome::Gated(refusal) => format!("kept out: {refusal}"),
    }
}

/// When the machine wants to be woken, and why.
pub fn deadline(deadline: Option<(Time, Timer)>) -> String {
    deadline.map_or("never".to_owned(), |(at, timer)| format!("at {} for {timer:?}", time(at)))
}

/// One change of a peer's score.
pub fn change(change: &Change) -> String {
    let why = match change.reason {
        Reason::Conduct(conduct) => conduct.label().to_owned(),
        Reason::Decay { ticks } => format!("{ticks} decays"),
        Reason::BanEnded => "ban ended".to_owned(),
        Reason::BanLifted => "ban lifted".to_owned(),
        Reason::Trusted => "trusted".to_owned(),
        Reason::Carried => "carried".to_owned(),
    };
    format!(
        "{:>16}  {:<5} {why:<18} {:>11} -> {:>11}  {}",
        time(change.at),
        change.rule,
        points(change.delta),
        points(change.score),
        cause(change.cause)
    )
}

/// What caused a change of a score.
pub fn cause(cause: Cause) -> String {
    match cause {
        Cause::Message(message) => format!("message {message}"),
        Cause::Request(request) => format!("request {request}"),
        Cause::Neither => String::new(),
    }
}

/// How a trace ends.
pub fn ending(ending: Ending) -> String {
    match ending {
        Ending::Closed => "the node ended".to_owned(),
        Ending::Full => "the trace was full; the node went on".to_owned(),
        Ending::Oversized => "a step was too large for the trace; the node went on".to_owned(),
        Ending::Continued => "the node went on, and the next segment has what followed".to_owned(),
        Ending::Broken => "the machine did not come back from the last step".to_owned(),
        Ending::Cut { offset } => format!("cut: the record at byte {offset} is not whole"),
    }
}
