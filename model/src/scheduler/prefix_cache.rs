//! Keys and values that later prompts with the same beginning reuse.
//!
//! A tree of pages: a node is one page of tokens behind those of its parent, and holds the keys and values up to its
//! end. Pages are shared ([`KvCache::prefix`]), so each node takes the memory of one page, however many sequences use
//! it. If memory is short, the leaf that has been unused for longest goes first. Zheng et al., "SGLang: Efficient
//! execution of structured language model programs" (2024).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use glassbox_tensor::ops::KeyValues;

use crate::adapter::Adapter;
use crate::kv_cache::KvCache;

/// Tokens of a node.
const PAGE: usize = KeyValues::PAGE;

/// The tree.
pub(super) struct PrefixCache {
    /// Bytes of a node.
    page_bytes: usize,
    nodes: HashMap<u64, Node>,
    children: HashMap<Key, u64>,
    /// The nodes without children, by the time of their last use.
    leaves: BTreeSet<(u64, u64)>,
    /// The number of the next node, and the time: both count up.
    clock: u64,
}

/// Where a node is: the number of its parent, or the adapter of its sequences for the first page, and its tokens.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    parent: Parent,
    ids: Box<[u32]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Parent {
    /// The address of the adapter, which the nodes keep alive; 0 without one.
    Adapter(usize),
    Node(u64),
}

struct Node {
    key: Key,
    /// The keys and values up to the end of this page.
    cache: KvCache,
    /// The adapter that they were computed with, kept alive so that no other one gets its address.
    _adapter: Option<Arc<Adapter>>,
    children: usize,
    used: u64,
}

impl PrefixCache {
    /// An empty tree whose nodes take `page_bytes` bytes each.
    pub(super) fn new(page_bytes: usize) -> PrefixCache {
        let (nodes, children, leaves) = Default::default();
        PrefixCache { page_bytes, nodes, children, leaves, clock: 0 }
    }

    /// Bytes of all nodes.
    pub(super) fn bytes(&self) -> usize {
        self.nodes.len() * self.page_bytes
    }

    /// The keys and values of the longest prefix of `ids` that is in the tree, and at most `ids` without its last.
    pub(super) fn find(&mut self, ids: &[u32], adapter: Option<&Arc<Adapter>>) -> Option<KvCache> {
        let path = self.path(&ids[..ids.len().saturating_sub(1)], adapter);
        path.iter().for_each(|&node| self.touch(node));
        path.last().map(|node| self.nodes[node].cache.clone())
    }

    /// Adds the whole pages of a sequence.
    pub(super) fn add(&mut self, ids: &[u32], cache: &KvCache, adapter: Option<&Arc<Adapter>>) {
        let path = self.path(ids, adapter);
        path.iter().for_each(|&node| self.touch(node));
        let mut parent = path.last().map_or(root(adapter), |&node| Parent::Node(node));
        for (page, page_ids) in ids.chunks_exact(PAGE).enumerate().skip(path.len()) {
            self.clock += 1;
            let (number, used) = (self.clock, self.clock);
            let key = Key { parent, ids: page_ids.into() };
            if let Parent::Node(parent) = parent
                && let Some(node) = self.nodes.get_mut(&parent)
            {
                self.leaves.remove(&(node.used, parent));
                node.children += 1;
            }
            self.children.insert(key.clone(), number);
            self.leaves.insert((used, number));
            let node = Node {
                key,
                cache: cache.prefix((page + 1) * PAGE),
                _adapter: adapter.cloned(),
                children: 0,
                used,
            };
            self.nodes.insert(number, node);
            parent = Parent::Node(number);
        }
    }

    /// Removes the leaves that have been unused for longest until the tree has at most `bytes` bytes.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        while self.bytes() > bytes {
            let Some((_, number)) = self.leaves.pop_first() else { return };
            let Some(node) = self.nodes.remove(&number) else { continue };
            self.children.remove(&node.key);
            if let Parent::Node(parent) = node.key.parent
                && let Some(node) = self.nodes.get_mut(&parent)
            {
                node.children -= 1;
                if node.children == 0 {
                    self.leaves.insert((node.used, parent));
                }
            }
        }
    }

    /// The nodes of the longest prefix of `ids` in the tree, in whole pages.
    fn path(&self, ids: &[u32], adapter: Option<&Arc<Adapter>>) -> Vec<u64> {
        let (mut parent, mut path) = (root(adapter), Vec::new());
        for page in ids.chunks_exact(PAGE) {
            match self.children.get(&Key { parent, ids: page.into() }) {
                Some(&node) => path.push(node),
                None => break,
            }
            parent = path.last().map_or(parent, |&node| Parent::Node(node));
        }
        path
    }

    /// Marks a node as used now.
    fn touch(&mut self, number: u64) {
        self.clock += 1;
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if self.leaves.remove(&(node.used, number)) {
            self.leaves.insert((self.clock, number));
        }
        node.used = self.clock;
    }
}

/// The parent of the first pages of sequences with `adapter`.
fn root(adapter: Option<&Arc<Adapter>>) -> Parent {
    Parent::Adapter(adapter.map_or(0, |adapter| Arc::as_ptr(adapter).addr()))
}
