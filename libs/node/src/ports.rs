//! What a node takes and gives, declared once in the node's own folder.
//!
//! The declaration is the file `src/ports.rs` of a node: a constant [`Ports`], and a typed handle for each port. The
//! node receives and sends by these handles, so it can neither name a port that is not declared nor read another
//! message than the declared one: both are compile errors. The same file is part of [`crate::nodes`], from which come
//! the checks of a graph ([`crate::wiring`]), the manifests for dora's hub ([`crate::manifest`]) and the page of
//! ports in the docs ([`crate::table`]).
//!
//! ```
//! use vrft_messages::{CompletionBatch, RewardBatch};
//! use vrft_node::ports::{Input, METRICS, Output, Port, Ports, Role};
//!
//! pub const PORTS: Ports = Ports {
//!     executable: "vrft-reward",
//!     about: "Checks completions against the ground truth",
//!     roles: &[Role {
//!         inputs: &[Port::of::<CompletionBatch>("groups", "completions")],
//!         outputs: &[Port::of::<RewardBatch>("rewards", "what each completion earned"), METRICS],
//!         ..Role::EMPTY
//!     }],
//!     ..Ports::EMPTY
//! };
//! pub const GROUPS: Input<CompletionBatch> = PORTS.input("groups");
//! pub const REWARDS: Output<RewardBatch> = PORTS.output("rewards");
//! ```
//! A handle for another message does not compile:
//! ```compile_fail,E0080
//! # use vrft_messages::{Credit, CompletionBatch};
//! # use vrft_node::ports::{Input, Port, Ports, Role};
//! # const INPUTS: &[Port] = &[Port::of::<CompletionBatch>("groups", "completions")];
//! # const PORTS: Ports = Ports { roles: &[Role { inputs: INPUTS, ..Role::EMPTY }], ..Ports::EMPTY };
//! const GROUPS: Input<Credit> = PORTS.input("groups");
//! # fn main() { println!("{}", GROUPS.name()) }
//! ```

use std::borrow::Cow;
use std::marker::PhantomData;

use vrft_messages::{Message, MetricBatch};

/// The declaration of a node.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Name of the executable.
    pub executable: &'static str,
    /// What the node does, in one line.
    pub about: &'static str,
    /// Categories under which dora's hub lists it.
    pub categories: &'static [&'static str],
    /// Keywords for dora's hub.
    pub keywords: &'static [&'static str],
    /// Environment variables that it reads besides those of every node.
    pub variables: &'static [Variable],
    /// What it takes and gives, by role: those with an argument first, the usual one last.
    pub roles: &'static [Role],
}

/// The ports of a node in one of its roles.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// A word of the node's `args` that gives it this role, such as `sft`; empty for the usual one.
    pub argument: &'static str,
    /// The inputs that have a name of their own.
    pub inputs: &'static [Port],
    /// Inputs of any other name.
    pub other_inputs: Option<Others>,
    /// The outputs that have a name of their own.
    pub outputs: &'static [Port],
    /// Outputs of any other name. With other inputs too, each of these belongs to the output of the same name: it
    /// brings the answers to what that output sends.
    pub other_outputs: Option<Others>,
}

/// A port that has a name.
#[derive(Debug, Clone, Copy)]
pub struct Port {
    /// Name of the port in a graph.
    pub name: &'static str,
    /// What comes or goes by it, in a few words.
    pub about: &'static str,
    /// The type of what it carries.
    pub carries: Carries,
    /// Whether the node cannot do without it.
    pub is_required: bool,
    /// Whether messages may be dropped on their way, because only the newest is of use.
    pub may_drop: bool,
    /// Whether the node would wait forever if no node received this output.
    pub needs_listener: bool,
    /// The output that must lead back to the node which sends to this input.
    pub answered_by: Option<&'static str>,
}

/// Ports of any other name, all with the same type of message.
#[derive(Debug, Clone, Copy)]
pub struct Others {
    /// What they are called in the manifest.
    pub name: &'static str,
    /// What comes or goes by them.
    pub about: &'static str,
    /// The type of their messages.
    pub carries: Carries,
    /// The fewest that there must be; those with a name of their own count too where `word` is in it.
    pub at_least: usize,
    /// Whether messages may be dropped on their way, because only the newest is of use.
    pub may_drop: bool,
    /// What their names have in them; empty for any name.
    pub word: &'static str,
}

/// An environment variable that a node reads.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Name of the environment variable.
    pub name: &'static str,
    /// What the value of the variable says.
    pub about: &'static str,
    /// Whether the node cannot do without it, unless its `args` have this option.
    pub required_unless: Option<&'static str>,
}

/// What a port carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// Messages of this project, by the name of their type.
    Message(&'static str),
    /// Data in a convention of dora's hub, from or for nodes that need not be of this project.
    Hub(&'static str),
    /// Nothing: it only tells of failures.
    Nothing,
}

/// Numbers for the monitor: an output that every node may have.
pub const METRICS: Port = Port::of::<MetricBatch>("metrics", "metrics for the monitor").optional();

/// An input and an output that every node may have: it carries nothing, but tells of the failure of the node behind it.
pub const WATCH: Port = Port {
    carries: Carries::Nothing,
    is_required: false,
    ..Port::of::<MetricBatch>("watch", "no messages; ends when a node fails")
};

impl Ports {
    /// Without any port, to be completed.
    pub const EMPTY: Ports = Ports {
        executable: "",
        about: "",
        categories: &[],
        keywords: &["grpo", "reinforcement", "fine-tuning", "vision-language"],
        variables: &[],
        roles: &[],
    };

    /// The handle of a declared input.
    ///
    /// # Panics
    /// An input that no role declares, or with another message; in a constant this is a compile error.
    pub const fn input<M: Message>(&self, name: &'static str) -> Input<M> {
        let mut n = 0;
        while n < self.roles.len() {
            if declares(self.roles[n].inputs, name, &Carries::Message(M::NAME)) {
                return Input { name: Cow::Borrowed(name), message: PhantomData };
            }
            n += 1;
        }
        panic!("this input is not declared with this type of message")
    }

    /// The handle of a declared output.
    ///
    /// # Panics
    /// As [`Ports::input`].
    pub const fn output<M: Message>(&self, name: &'static str) -> Output<M> {
        let mut n = 0;
        while n < self.roles.len() {
            if declares(self.roles[n].outputs, name, &Carries::Message(M::NAME)) {
                return Output { name: Cow::Borrowed(name), message: PhantomData };
            }
            n += 1;
        }
        panic!("this output is not declared with this type of message")
    }

    /// The handle of a declared input in a convention of dora's hub.
    ///
    /// # Panics
    /// As [`Ports::input`].
    pub const fn hub_input(&self, name: &'static str, convention: &'static str) -> HubInput {
        let mut n = 0;
        while n < self.roles.len() {
            if declares(self.roles[n].inputs, name, &Carries::Hub(convention)) {
                return HubInput { name };
            }
            n += 1;
        }
        panic!("this input is not declared with this convention")
    }

    /// The handle of a declared output in a convention of dora's hub.
    ///
    /// # Panics
    /// As [`Ports::input`].
    pub const fn hub_output(&self, name: &'static str, convention: &'static str) -> HubOutput {
        let mut n = 0;
        while n < self.roles.len() {
            if declares(self.roles[n].outputs, name, &Carries::Hub(convention)) {
                return HubOutput { name };
            }
            n += 1;
        }
        panic!("this output is not declared with this convention")
    }

    /// The handle of the inputs of any other name.
    ///
    /// # Panics
    /// As [`Ports::input`].
    pub const fn other_inputs<M: Message>(&self) -> OtherInputs<M> {
        let mut n = 0;
        while n < self.roles.len() {
            if let Some(others) = &self.roles[n].other_inputs
                && same_type(&others.carries, &Carries::Message(M::NAME))
            {
                return OtherInputs { message: PhantomData };
            }
            n += 1;
        }
        panic!("inputs of any other name are not declared with this type of message")
    }

    /// The handle of the outputs of any other name.
    ///
    /// # Panics
    /// As [`Ports::input`].
    pub const fn other_outputs<M: Message>(&self) -> OtherOutputs<M> {
        let mut n = 0;
        while n < self.roles.len() {
            if let Some(others) = &self.roles[n].other_outputs
                && same_type(&others.carries, &Carries::Message(M::NAME))
            {
                return OtherOutputs { message: PhantomData };
            }
            n += 1;
        }
        panic!("outputs of any other name are not declared with this type of message")
    }

    /// An input of this name in any role.
    pub fn find_input(&self, name: &str) -> Option<&'static Port> {
        self.roles.iter().flat_map(|role| role.inputs).find(|port| port.name == name)
    }

    /// Whether what arrives on an input of this name is in a convention of dora's hub.
    pub(crate) fn is_of_hub(&self, input: &str) -> bool {
        let is_hub = |carries: &Carries| matches!(carries, Carries::Hub(_));
        match self.find_input(input) {
            Some(port) => is_hub(&port.carries),
            None if input == WATCH.name => false,
            None => {
                let others = self.roles.iter().filter_map(|role| role.other_inputs.as_ref());
                others.into_iter().any(|others| is_hub(&others.carries))
            }
        }
    }

    /// Whether what arrives on an input of this name are numbers for the monitor.
    pub(crate) fn carries_metrics(&self, input: &str) -> bool {
        let is_metrics = |carries: &Carries| *carries == Carries::Message(MetricBatch::NAME);
        match self.find_input(input) {
            Some(port) => is_metrics(&port.carries),
            None if input == WATCH.name => false,
            None => {
                let others = self.roles.iter().filter_map(|role| role.other_inputs.as_ref());
                others.into_iter().any(|others| is_metrics(&others.carries))
            }
        }
    }

    /// The role that `args` give the node.
    pub fn role(&self, args: &str) -> Option<&'static Role> {
        let is_word = |word: &str| args.split([' ', '=']).any(|found| found == word);
        self.roles.iter().find(|role| role.argument.is_empty() || is_word(role.argument))
    }
}

impl Role {
    /// Without any port, to be completed.
    pub const EMPTY: Role =
        Role { argument: "", inputs: &[], other_inputs: None, outputs: &[], other_outputs: None };
}

impl Port {
    /// A required port for messages of a type.
    pub const fn of<M: Message>(name: &'static str, about: &'static str) -> Port {
        Port::carrying(name, Carries::Message(M::NAME), about)
    }

    /// A port in a convention of dora's hub, such as `image`.
    pub const fn hub(name: &'static str, convention: &'static str, about: &'static str) -> Port {
        Port::carrying(name, Carries::Hub(convention), about)
    }

    const fn carrying(name: &'static str, carries: Carries, about: &'static str) -> Port {
        Port {
            name,
            about,
            carries,
            is_required: true,
            may_drop: false,
            needs_listener: false,
            answered_by: None,
        }
    }

    /// The same, where the node can do without.
    pub const fn optional(self) -> Port {
        Port { is_required: false, ..self }
    }

    /// The same, where only the newest message is of use.
    pub const fn may_drop(self) -> Port {
        Port { may_drop: true, ..self }
    }

    /// The same output, where the node waits for what comes of it.
    pub const fn needs_listener(self) -> Port {
        Port { needs_listener: true, ..self }
    }

    /// The same input, whose sender must listen to this output.
    pub const fn answered_by(self, output: &'static str) -> Port {
        Port { answered_by: Some(output), ..self }
    }
}

impl Others {
    /// Any number of ports for messages of a type.
    pub const fn of<M: Message>(name: &'static str, about: &'static str) -> Others {
        let carries = Carries::Message(M::NAME);
        Others { name, about, carries, at_least: 0, may_drop: false, word: "" }
    }

    /// Any number of ports in a convention of dora's hub, of which only the newest message is of use.
    pub const fn hub(name: &'static str, convention: &'static str, about: &'static str) -> Others {
        let carries = Carries::Hub(convention);
        Others { name, about, carries, at_least: 0, may_drop: true, word: "" }
    }

    /// The same, with a least number of them.
    pub const fn at_least(self, n: usize) -> Others {
        Others { at_least: n, ..self }
    }

    /// The same, of names that have this word in them.
    pub const fn with_word(self, word: &'static str) -> Others {
        Others { word, ..self }
    }

    /// How their names are told to who writes a graph.
    pub(crate) fn names(&self) -> String {
        let Self { word, .. } = self;
        if word.is_empty() {
            "any name".to_owned()
        } else {
            format!("any name with `{word}` in it")
        }
    }
}

impl std::fmt::Display for Carries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message(name) | Self::Hub(name) => f.write_str(name),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

/// Whether one of these ports has this name and type.
const fn declares(ports: &[Port], name: &str, carries: &Carries) -> bool {
    let mut n = 0;
    while n < ports.len() {
        if same_text(ports[n].name, name) {
            return same_type(&ports[n].carries, carries);
        }
        n += 1;
    }
    false
}

const fn same_type(a: &Carries, b: &Carries) -> bool {
    match (a, b) {
        (Carries::Message(a), Carries::Message(b)) | (Carries::Hub(a), Carries::Hub(b)) => {
            same_text(a, b)
        }
        (Carries::Nothing, Carries::Nothing) => true,
        _ => false,
    }
}

/// `==` of texts, which is not there in constants yet.
const fn same_text(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut n = 0;
    while n < a.len() {
        if a[n] != b[n] {
            return false;
        }
        n += 1;
    }
    true
}

mod handles;

pub use handles::{AnyInput, HubInput, HubOutput, Input, OtherInputs, OtherOutputs, Output};
