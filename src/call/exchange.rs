//! What all calls share: the stack, the engine, who answers, who may be called, where it is written down.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use media::sdp::{self, LocalMedia};

use super::actor::Media;
use super::extensions::Extensions;
use super::guards::Guards;
use super::ledger::Journal;
use super::music::Music;
use super::{Cast, Directory, trunks::Trunks};
use crate::config::{Config, Srtp};
use crate::outside::Outside;
use crate::store::{Store, Tape};

/// Everything that calls are made of. Shared, unchanging.
pub struct Exchange {
    pub config: Config,
    pub stack: sip::net::Stack,
    pub engine: media::net::Engine,
    /// Who has which number, and who answers it.
    pub directory: Directory,
    pub cast: Cast,
    /// Those of the box, for who wants to know how they do.
    pub engines: Vec<models::process::EngineHandle>,
    pub trunks: Trunks,
    pub extensions: Extensions,
    pub guards: Guards,
    pub journal: Journal,
    pub store: Store,
    /// For who waits.
    pub music: Option<Arc<Music>>,
    /// The way to URLs that clients supplied.
    pub outside: Outside,
    /// Randomness for ids, SSRCs and sessions.
    pub chance: Box<dyn Fn() -> [u8; 16] + Send + Sync>,
}

impl Exchange {
    /// Where this peer is told to send its sound. What STUN has found is for those beyond the NAT.
    pub(super) fn told_ip(&self, peer: SocketAddr) -> std::io::Result<IpAddr> {
        let fixed = self.config.media.advertise.or(self.config.sip.advertise);
        let seen = || self.trunks.public().filter(|_| !is_near(peer.ip()));
        fixed.or_else(seen).map_or_else(|| local_ip_towards(peer), Ok)
    }

    /// What calls of this line are offered and may have: a trunk's name, or an extension as [`line`](crate::config::Extension::line) writes it.
    /// Each time with keys of its own.
    pub(super) fn capabilities(&self, line: &str) -> sdp::Capabilities {
        let trunk = self.config.trunk(line).map(|trunk| trunk.dtmf);
        let extension = || self.config.extensions.iter().find(|extension| extension.line() == line);
        let keys = trunk.or_else(|| extension().map(|extension| extension.dtmf)).unwrap_or_default();
        let capabilities = sdp::Capabilities {
            codecs: self.config.codecs(line).to_vec(),
            opus: self.config.media.opus,
            rtcp_mux: self.config.media.rtcp_mux,
            encryption: self.encryption(line),
            ..sdp::Capabilities::default()
        };
        capabilities.with_keys(keys)
    }

    fn encryption(&self, line: &str) -> sdp::Encryption {
        let number = line.strip_prefix("extension ");
        let extension = number.and_then(|number| self.config.extension(number)).map(|of| of.srtp);
        match extension.or_else(|| self.config.trunk(line).map(|trunk| trunk.srtp)).unwrap_or_default() {
            Srtp::Off => sdp::Encryption::Off,
            wanted @ (Srtp::Optional | Srtp::Required) => {
                let mut seed = [0; 32];
                seed.chunks_exact_mut(16).for_each(|half| half.copy_from_slice(&(self.chance)()));
                let suites = self.config.media.srtp_suites.clone();
                sdp::Encryption::on(wanted == Srtp::Required, suites, media::srtp::KeySeed::new(seed))
            }
        }
    }

    /// A line towards `peer`, with what our side of the SDP says of it there; recorded, if it is to be recorded.
    pub(super) fn open(
        &self,
        peer: SocketAddr,
        line: &str,
        recording: Option<Tape>,
    ) -> Result<Media, String> {
        let capabilities = self.capabilities(line);
        let chance = u128::from_le_bytes((self.chance)());
        #[expect(clippy::cast_possible_truncation, reason = "halves of a random number")]
        let (ssrc_seed, session_id) = (chance as u64, (chance >> 65) as u64);
        let recorded = &self.config.recording;
        let hide_digits = recorded.mask_digits.then_some(recorded.mask_after);
        let session = || media::SessionConfig { ssrc_seed, hide_digits, ..media::SessionConfig::default() };
        let tape = recording.as_ref().map(|tape| media::wav::Recording { path: tape.path() });
        let mut unrecorded = None;
        let opened = match self.engine.open(session(), tape) {
            Err(media::net::OpenError::Recording(path, error)) => {
                // A full disk is no reason to take no calls.
                tracing::error!(path = %path.display(), %error, "a call is not recorded");
                unrecorded = Some(error.to_string());
                self.engine.open(session(), None)
            }
            opened => opened,
        };
        let (line, events) = opened.map_err(|error| error.to_string())?;
        let ip = self.told_ip(peer).map_err(|error| error.to_string())?;
        let local = LocalMedia { ip, port: line.local_port(), session_id, version: 1 };
        Ok(Media { line, events, local, capabilities, agreed: None, recording, unrecorded })
    }
}

/// On our side of any NAT.
fn is_near(peer: IpAddr) -> bool {
    match peer.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// The address of ours that packets to `peer` leave from. Asks the routing table; sends nothing.
pub fn local_ip_towards(peer: SocketAddr) -> std::io::Result<IpAddr> {
    let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_beyond_the_nat_are_told_apart() {
        for (peer, expected) in [
            ("192.168.1.20", true),
            ("::ffff:10.0.0.1", true),
            ("fd00::1", true),
            ("203.0.113.7", false),
            ("2001:db8::7", false),
        ] {
            assert_eq!(is_near(peer.parse().unwrap()), expected, "{peer}");
        }
    }

    #[test]
    fn loopback_peers_see_loopback() {
        assert_eq!(
            local_ip_towards("127.0.0.1:5060".parse().unwrap()).unwrap(),
            IpAddr::from([127, 0, 0, 1])
        );
    }
}
