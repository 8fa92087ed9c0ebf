//! The attempts of one hop to connect to the addresses of its host.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::capability::happy_eyeballs::{Attempting, Race};
use crate::capability::http::client::Client;
use crate::capability::http::peer_filter::PeerFilter;
use crate::capability::http::session::{Session, SessionClient};
use crate::capability::http::timing_hooks::{HopTimings, Timestamps};
use crate::capability::http::transport::Transport;
use crate::capability::opening_limit::OpeningPermit;

/// The attempts of one hop. Clones share them.
#[derive(Clone)]
pub struct ConnectAttempts {
    race: Race,
    /// True if the client gets one address for each attempt. A proxy's addresses are all left to the client.
    is_race: bool,
    /// The timings of each attempt, of which there is at least one.
    timings: Arc<Mutex<Vec<HopTimings>>>,
    peer_filter: Option<Arc<PeerFilter>>,
    /// The permit to open a connection, until there is one.
    opening: Arc<Mutex<Option<OpeningPermit>>>,
}

impl ConnectAttempts {
    /// Returns the attempts of a hop that begins. Without a filter, the hop may connect to any address.
    pub fn new(
        transport: &Transport,
        peer_filter: Option<Arc<PeerFilter>>,
        opening: Arc<Mutex<Option<OpeningPermit>>>,
    ) -> Self {
        Self::start(transport.proxy.is_none(), peer_filter, opening)
    }

    fn start(is_race: bool, peer_filter: Option<Arc<PeerFilter>>, opening: Arc<Mutex<Option<OpeningPermit>>>) -> Self {
        let race = Race::default();
        let first = HopTimings::new(peer_filter.clone(), Arc::clone(&opening), is_race.then(|| (race.clone(), 0)));
        Self { race, is_race, timings: Arc::new(Mutex::new(vec![first])), peer_filter, opening }
    }

    /// Returns empty attempts, to send the same request again.
    pub fn for_retry(&self) -> Self {
        Self::start(self.is_race, self.peer_filter.clone(), Arc::clone(&self.opening))
    }

    /// Returns true if there is a connection that another attempt than the first has made.
    pub fn is_connected(&self) -> bool {
        self.race.is_won()
    }

    /// Returns the times that have been recorded so far: those of the resolution of the name, which the first attempt
    /// has made, and those of the attempt that has the connection, or has failed last.
    pub fn timestamps(&self) -> Timestamps {
        let timings = self.timings.lock();
        let first = timings[0].timestamps();
        let attempts = self.race.attempts();
        match timings.get(self.race.decisive()).filter(|_| self.race.decisive() > 0) {
            None => Timestamps { attempts, ..first },
            Some(decisive) => {
                let Timestamps { connect_started, dns_started, dns_ended, names, addresses, .. } = first;
                let decisive = decisive.timestamps();
                Timestamps { connect_started, dns_started, dns_ended, names, addresses, attempts, ..decisive }
            }
        }
    }

    /// Sends a request by `send`, with one attempt for each address of the host until there is a connection. An attempt
    /// after the first has a client of its own, so that it does not wait for the connection of another. If its
    /// connection is used, this client becomes that of the session.
    pub async fn send<'a, T, E>(
        &self,
        session: &Session,
        transport: &Transport,
        first: SessionClient,
        send: impl Fn(Client, HopTimings) -> Attempting<'a, T, E>,
    ) -> Option<Result<T, E>> {
        let mut clients = vec![(0, first.client.clone())];
        let result = self.race.run(|index| {
            if index == 0 {
                let timings = self.timings.lock()[0].clone();
                return Some(send(clients[0].1.clone(), timings));
            }
            if !session.quota.may_connect() {
                return None;
            }
            let client = session.build(transport, &first.tls).ok()?;
            clients.push((index, client.clone()));
            let race = Some((self.race.clone(), index));
            let timings = HopTimings::new(self.peer_filter.clone(), Arc::clone(&self.opening), race);
            self.timings.lock().push(timings.clone());
            Some(send(client, timings))
        });
        let result = result.await;
        let winner = self.race.decisive();
        if let (Some(Ok(_)), Some((_, client))) = (&result, clients.into_iter().find(|(index, _)| *index == winner))
            && winner > 0
        {
            session.set_client(transport, client);
        }
        result
    }
}
