//! The page: what a robot answers, in a browser, and what people say of that, as messages of the graph.
//!
//! A remark goes the way of any other node's: to the answering node, which makes a correction of the frame for a loader.

mod ports;
mod table;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use eyre::{WrapErr, eyre};
use tracing::info;
use vrft_messages::hub::{Tags, text_message};
use vrft_node::{Arrival, Node};
use vrft_serve::{Robot, ServeError, Server};
use vrft_stream::{StreamConfig, Truth};

use crate::ports::{FEEDBACK, PORTS};
use crate::table::Table;

/// Where the page is unless somebody says otherwise.
const ADDRESS: &str = "127.0.0.1:8001";

/// How long a remark may wait while nothing comes from the graph.
const PATIENCE: Duration = Duration::from_millis(50);

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    let document = vrft_node::load_document_if_named()?;
    let stream: Option<StreamConfig> = document.optional()?;
    let (robot, said) = Robot::new(stream.is_some_and(|stream| stream.truth == Truth::Person));
    serve(&robot)?;
    run(Node::join(&PORTS, &document)?, &robot, &said)
}

/// Starts the server on threads of its own.
fn serve(robot: &Arc<Robot>) -> eyre::Result<()> {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let address = named("PAGE_ADDRESS").unwrap_or_else(|| ADDRESS.to_owned());
    let address: SocketAddr = address
        .parse()
        .map_err(|error| eyre!("PAGE_ADDRESS = {address:?}: {error}, expected as in {ADDRESS}"))?;
    let token = named("PAGE_TOKEN");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.wrap_err("cannot start the server")?;
    let robot = Arc::clone(robot);
    let listening = runtime.block_on(async {
        let first = Server::of_robot(address, token.clone(), Arc::clone(&robot)).await;
        match first {
            // Another graph of this machine has it.
            Err(ServeError::Listen { .. }) => {
                let free = SocketAddr::new(address.ip(), 0);
                Server::of_robot(free, token, robot).await
            }
            other => other,
        }
    });
    let server = listening?;
    info!("The page is at http://{}/", server.address());
    std::thread::spawn(move || runtime.block_on(server.run()));
    Ok(())
}

/// Takes in what the robot sees and says, and passes on what people say, until the graph ends.
fn run(mut node: Node, robot: &Robot, said: &Receiver<String>) -> eyre::Result<()> {
    let mut table = Table::default();
    let mut n_remarks = 0_u64;
    loop {
        match node.recv_only_live(PATIENCE)? {
            Arrival::Live(live) => {
                if let Some(answer) = table.take(&live) {
                    robot.show(answer);
                }
            }
            // Cameras and policies may be started again; the run's end ends the node.
            Arrival::Gone(_) | Arrival::Nothing => {}
            Arrival::End => break,
            Arrival::Message(never) => match never {},
        }
        for remark in said.try_iter() {
            n_remarks += 1;
            node.send_live(&FEEDBACK, text_message(Tags::new(), &remark))?;
        }
    }
    info!(n_remarks, n_garbage = table.n_garbage(), "The page is closed.");
    node.finish()
}
