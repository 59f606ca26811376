//! The waiting requests, and whose turn is next.
//!
//! Each client's requests wait in the order of their arrival. The client that has been served the fewest tokens comes
//! next. A client that arrives, or comes back, begins with the count of the client that has been served least: time
//! without requests earns no credit. Waldspurger and Weihl, "Stride scheduling" (1995).

use std::collections::{BTreeMap, VecDeque};

use super::request::Submitted;

/// The clients with requests, waiting or in progress.
#[derive(Default)]
pub(super) struct Queue {
    clients: BTreeMap<u64, Client>,
}

#[derive(Default)]
struct Client {
    waiting: VecDeque<Submitted>,
    /// Its requests in progress.
    active: usize,
    /// Tokens that it has been served, prompts included.
    served: u64,
}

impl Queue {
    /// Appends a request to its client's.
    pub(super) fn push(&mut self, submitted: Submitted) {
        let least = self.clients.values().map(|client| client.served).min().unwrap_or(0);
        let client = self.clients.entry(submitted.request.client);
        client.or_insert(Client { served: least, ..Client::default() }).waiting.push_back(submitted);
    }

    /// The next request.
    pub(super) fn peek(&self) -> Option<&Submitted> {
        self.next().and_then(|client| self.clients[&client].waiting.front())
    }

    /// Takes the next request; its client has one more in progress.
    pub(super) fn pop(&mut self) -> Option<Submitted> {
        let client = self.clients.get_mut(&self.next()?)?;
        client.active += 1;
        client.waiting.pop_front()
    }

    fn next(&self) -> Option<u64> {
        let waiting = self.clients.iter().filter(|(_, client)| !client.waiting.is_empty());
        waiting.min_by_key(|(_, client)| client.served).map(|(&id, _)| id)
    }

    /// Counts tokens that `client` has been served.
    pub(super) fn serve(&mut self, client: u64, tokens: usize) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.served += tokens as u64;
        }
    }

    /// One of the client's requests in progress has ended.
    pub(super) fn end(&mut self, client: u64) {
        if let Some(state) = self.clients.get_mut(&client) {
            state.active = state.active.saturating_sub(1);
            self.forget(client);
        }
    }

    /// Takes all cancelled requests out.
    pub(super) fn take_cancelled(&mut self) -> Vec<Submitted> {
        self.take_if(Submitted::is_cancelled)
    }

    /// Takes all requests out.
    pub(super) fn take_all(&mut self) -> Vec<Submitted> {
        self.take_if(|_| true)
    }

    fn take_if(&mut self, condition: impl Fn(&Submitted) -> bool) -> Vec<Submitted> {
        let mut taken = Vec::new();
        for client in self.clients.values_mut() {
            let (out, stay) = std::mem::take(&mut client.waiting).into_iter().partition(&condition);
            client.waiting = stay;
            let out: VecDeque<Submitted> = out;
            taken.extend(out);
        }
        let ids: Vec<u64> = self.clients.keys().copied().collect();
        ids.into_iter().for_each(|id| self.forget(id));
        taken
    }

    /// Drops a client without requests.
    fn forget(&mut self, client: u64) {
        if self.clients.get(&client).is_some_and(|client| client.active == 0 && client.waiting.is_empty()) {
            self.clients.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::request::{Choice, Continuation, Outcome, Request};
    use super::*;

    struct Nothing;

    impl Continuation for Nothing {
        fn choose(&mut self, _: &[f32]) -> Choice {
            Choice::End
        }
        fn end(&mut self, _: Outcome) {}
    }

    fn request(client: u64, prompt: u32) -> Submitted {
        let continuation = Box::new(Nothing);
        let request = Request { client, prompt: vec![prompt], tokens: 1, adapter: None, continuation };
        Submitted { request, positions: 1, cancelled: Arc::default() }
    }

    fn pop(queue: &mut Queue) -> Option<(u64, u32)> {
        queue.pop().map(|submitted| (submitted.request.client, submitted.request.prompt[0]))
    }

    #[test]
    fn the_client_that_has_been_served_least_comes_next() {
        let mut queue = Queue::default();
        for (client, prompt) in [(1, 10), (1, 11), (1, 12), (2, 20)] {
            queue.push(request(client, prompt));
        }
        assert_eq!(pop(&mut queue), Some((1, 10)));
        queue.serve(1, 5);
        assert_eq!(pop(&mut queue), Some((2, 20)));
        queue.serve(2, 7);
        assert_eq!(pop(&mut queue), Some((1, 11)), "five tokens are fewer than seven");
        // A client that arrives now is not ahead by all that the others have been served before.
        queue.push(request(3, 30));
        queue.serve(3, 1);
        assert_eq!(pop(&mut queue), Some((1, 12)));
        assert_eq!(pop(&mut queue), Some((3, 30)));
        assert_eq!(pop(&mut queue), None);
    }

    #[test]
    fn clients_without_requests_are_forgotten() {
        let mut queue = Queue::default();
        queue.push(request(1, 1));
        queue.push(request(2, 2));
        queue.pop();
        queue.serve(1, 100);
        queue.end(1);
        assert_eq!(queue.take_all().len(), 1);
        assert!(queue.clients.is_empty());
    }
}
