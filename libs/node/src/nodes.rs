//! The declarations of all nodes of this project, so that a graph can be checked as a whole.
//!
//! Each is the file `src/ports.rs` in the folder of its node, where the node itself uses it too; it is made of names
//! and types of messages alone. So the launcher and every node know the ports of all nodes, and none links another.

use std::path::Path;

use dora_message::descriptor::Node;

use vrft_messages::{Checkpoint, Message};

use crate::ports::{Carries, METRICS, Others, Port, Ports, Role, WATCH};

/// Takes in the declaration of each node of `nodes/`.
macro_rules! nodes {
    ($($name:ident: $path:literal),* $(,)?) => {
        $(
            #[path = $path]
            #[expect(dead_code, reason = "the node itself uses the handles")]
            mod $name;
        )*

        /// What the nodes of this project take and give, in the order of the data.
        pub const ALL: &[&Ports] = &[$(&$name::PORTS),*];
    };
}

nodes! {
    camera: "../../../nodes/camera/src/ports.rs",
    loader: "../../../nodes/loader/src/ports.rs",
    pool: "../../../nodes/pool/src/ports.rs",
    rollout: "../../../nodes/rollout/src/ports.rs",
    zoom: "../../../nodes/zoom/src/ports.rs",
    journal: "../../../nodes/journal/src/ports.rs",
    reward: "../../../nodes/reward/src/ports.rs",
    semantic: "../../../nodes/semantic/src/ports.rs",
    advantage: "../../../nodes/advantage/src/ports.rs",
    learner: "../../../nodes/learner/src/ports.rs",
    evaluator: "../../../nodes/evaluator/src/ports.rs",
    answer: "../../../nodes/answer/src/ports.rs",
    segment: "../../../nodes/segment/src/ports.rs",
    page: "../../../nodes/page/src/ports.rs",
    monitor: "../../../nodes/monitor/src/ports.rs",
}

/// Whether a node of a graph is one of this project's that takes checkpoints by this input, as the evaluator does.
pub fn takes_checkpoints(node: &Node, input: &str) -> bool {
    let carries = Declared::of(node).and_then(|declared| declared.takes(input));
    carries == Some(Carries::Message(Checkpoint::NAME))
}

/// Under which name this project's nodes are packages of dora's hub.
const NAMESPACE: &str = "vrft";

/// The executable of a node: the name of the file, or of the package of dora's hub (`vrft/vrft-answer@^0.1`), which is named
/// after it. Nothing for what is started by neither.
pub fn executable(node: &Node) -> Option<&str> {
    match (&node.path, &node.hub) {
        (Some(path), _) => Path::new(path).file_stem()?.to_str(),
        (None, Some(package)) => {
            let (namespace, name) = package_of(package);
            namespace.is_none_or(|namespace| namespace == NAMESPACE).then_some(name)
        }
        (None, None) => None,
    }
}

/// What is wrong with a package of this project's namespace that there is not.
pub(crate) fn unknown_package(node: &Node) -> Option<String> {
    let package = node.hub.as_deref()?;
    let (namespace, name) = package_of(package);
    let is_ours = namespace == Some(NAMESPACE);
    let is_known = ALL.iter().any(|ports| ports.executable == name);
    let names: Vec<&str> = ALL.iter().map(|ports| ports.executable).collect();
    (is_ours && !is_known).then(|| {
        let names = names.join(", ");
        format!(
            "node {:?}: there is no package {package:?}; those of {NAMESPACE} are {names}",
            node.id.to_string()
        )
    })
}

/// Namespace and name of `namespace/name@version`.
fn package_of(package: &str) -> (Option<&str>, &str) {
    let name = package.split('@').next().unwrap_or_default();
    name.rsplit_once('/').map_or((None, name), |(namespace, name)| (Some(namespace), name))
}

/// A node of a graph whose executable is one of this project's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared<'a> {
    pub(crate) node: &'a Node,
    pub(crate) ports: &'static Ports,
    pub(crate) role: &'static Role,
}

impl<'a> Declared<'a> {
    /// Nothing for an executable of somebody else.
    pub(crate) fn of(node: &'a Node) -> Option<Self> {
        let executable = executable(node)?;
        let ports = ALL.iter().find(|ports| ports.executable == executable)?;
        let role = ports.role(node.args.as_deref().unwrap_or_default())?;
        Some(Self { node, ports, role })
    }

    /// What an input of this name should carry; nothing for a name that is not declared.
    pub(crate) fn takes(&self, input: &str) -> Option<Carries> {
        find(self.role.inputs, self.role.other_inputs.as_ref(), &[WATCH], input)
    }

    /// What an output of this name carries; nothing for a name that is not declared.
    pub(crate) fn gives(&self, output: &str) -> Option<Carries> {
        find(self.role.outputs, self.role.other_outputs.as_ref(), &[METRICS, WATCH], output)
    }

    /// Names of the inputs in the graph that belong to outputs of the same name.
    pub(crate) fn paired_inputs(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let role = self.role;
        let is_paired = role.other_inputs.is_some() && role.other_outputs.is_some();
        self.other_inputs().filter(move |_| is_paired)
    }

    /// Names of the inputs in the graph that have no name of their own in the declaration.
    pub(crate) fn other_inputs(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let role = self.role;
        let inputs = self.node.inputs.keys().map(AsRef::as_ref);
        let is_named = move |id: &str| role.inputs.iter().any(|port| port.name == id);
        inputs.filter(move |id: &&str| *id != WATCH.name && !is_named(id))
    }
}

/// The type of a port; `everywhere` are those that every node may have.
fn find(
    ports: &[Port],
    others: Option<&Others>,
    everywhere: &[Port],
    name: &str,
) -> Option<Carries> {
    let named = ports.iter().chain(everywhere).find(|port| port.name == name);
    let others = others.filter(|others| name.contains(others.word));
    named.map(|port| port.carries).or(others.map(|others| others.carries))
}
