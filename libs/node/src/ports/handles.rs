//! Handles by which a node receives and sends. They are made by [`Ports`](super::Ports) alone.

use std::borrow::Cow;
use std::marker::PhantomData;

/// An input that carries messages of one type.
#[derive(Debug)]
pub struct Input<M> {
    pub(super) name: Cow<'static, str>,
    pub(super) message: PhantomData<fn() -> M>,
}

/// An output that carries messages of one type.
#[derive(Debug)]
pub struct Output<M> {
    pub(super) name: Cow<'static, str>,
    pub(super) message: PhantomData<fn(M)>,
}

/// All inputs that have no name of their own in the declaration; a graph names them.
#[derive(Debug)]
pub struct OtherInputs<M> {
    pub(super) message: PhantomData<fn() -> M>,
}

/// All outputs that have no name of their own in the declaration; a graph names them.
#[derive(Debug)]
pub struct OtherOutputs<M> {
    pub(super) message: PhantomData<fn(M)>,
}

/// An input in a convention of dora's hub.
#[derive(Debug, Clone, Copy)]
pub struct HubInput {
    pub(super) name: &'static str,
}

/// An output in a convention of dora's hub.
#[derive(Debug, Clone, Copy)]
pub struct HubOutput {
    pub(super) name: &'static str,
}

/// An input, whatever its messages are: what a node waits for.
pub trait AnyInput {
    /// Name of the port in the graph.
    fn name(&self) -> &str;
}

impl<M> AnyInput for Input<M> {
    fn name(&self) -> &str {
        &self.name
    }
}

impl<M> Input<M> {
    /// Name of the port in the graph.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<M> Clone for Input<M> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), message: PhantomData }
    }
}

impl<M> Output<M> {
    /// Name of the port in the graph.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<M> OtherInputs<M> {
    /// The one of this name in the graph.
    pub(crate) fn named(&self, name: String) -> Input<M> {
        Input { name: Cow::Owned(name), message: PhantomData }
    }
}

impl<M> OtherOutputs<M> {
    /// The one of this name in the graph.
    pub fn named(&self, name: &str) -> Output<M> {
        Output { name: Cow::Owned(name.to_owned()), message: PhantomData }
    }
}

impl HubInput {
    /// Name of the port in the graph.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl HubOutput {
    /// Name of the port in the graph.
    pub fn name(&self) -> &'static str {
        self.name
    }
}
