//! The plan of a world, in words.

use std::fmt;

use super::Plan;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |(name, weight): (&str, u32)| format!("{name} {weight}");
        let kinds: Vec<_> = self
            .kinds
            .iter()
            .filter(|(_, weight)| *weight > 0)
            .map(|(kind, weight)| named((kind.name, *weight)))
            .collect();
        let faults: Vec<_> = self
            .faults
            .iter()
            .filter(|(_, weight)| *weight > 0)
            .map(|(fault, weight)| named((fault.name, *weight)))
            .collect();
        write!(
            f,
            "{} ms; {} servers, {} processes of {} callers, {} keys, ttls {:?} ms, bodies to {} ms, \
             pauses to {} ms, waits to {} ms; parcels take {} ms, one in {:?} to {} ms; timeouts {:?} \
             and {:?}; drift {}\n  kinds: {}\n  a fault each {} ms: {}",
            self.length,
            self.servers,
            self.places,
            self.callers,
            self.keys,
            self.ttls,
            self.longest_body,
            self.longest_pause,
            self.longest_wait,
            self.weather.usual,
            self.weather.late_one_in,
            self.weather.latest,
            self.connection_timeout,
            self.response_timeout,
            self.clocks.drift,
            kinds.join(", "),
            self.calm,
            faults.join(", "),
        )
    }
}
