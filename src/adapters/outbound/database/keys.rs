//! The keys of requests that this process is working on. Not here: those of other instances, and what is kept (`idempotency`).

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use dlc_application::ports::idempotency::KeyedRequest;

type Id = (String, &'static str, String);

/// The keys that this process is working on. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeysAtWork(Arc<Mutex<HashSet<Id>>>);

/// A key while it is worked on.
pub(crate) struct KeyAtWork {
    at_work: KeysAtWork,
    id: Id,
}

impl KeysAtWork {
    /// Takes a key; `None` while somebody has it.
    pub(crate) fn take(&self, request: &KeyedRequest) -> Option<KeyAtWork> {
        let id = (request.principal.clone(), request.route, request.key.clone());
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Lazily: a key that was made and not given out would be given back.
        taken.insert(id.clone()).then(|| KeyAtWork {
            at_work: self.clone(),
            id,
        })
    }
}

impl Drop for KeyAtWork {
    fn drop(&mut self) {
        let mut taken = self.at_work.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_worked_on_once_at_a_time_and_free_again_afterwards() {
        let keys = KeysAtWork::default();
        let request = |principal: &str| KeyedRequest {
            principal: principal.to_owned(),
            route: "POST /a",
            key: "k".to_owned(),
            content: String::new(),
        };
        let first = keys.take(&request("ann"));
        assert!(first.is_some() && keys.take(&request("ann")).is_none());
        assert!(keys.take(&request("bob")).is_some());
        drop(first);
        assert!(keys.take(&request("ann")).is_some());
    }
}
