//! The domain's limits, as values: settings hands them in. 0 = off.

/// What users may do how often, and how large.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Unicode scalar values of a message.
    pub message_chars: usize,
    /// Accepted sends in any 60 s, per user over everything.
    pub messages_per_minute: u32,
    /// Edits, deletions and reactions together, per user.
    pub changes_per_minute: u32,
    /// Searches per user.
    pub searches_per_minute: u32,
    /// Registrations per address.
    pub registrations_per_hour: u32,
    /// New rooms per user.
    pub rooms_per_hour: u32,
    /// Failed sign-ins in 10 min, per account and address.
    pub signin_failures: u32,
    /// Whether plain members may add others in groups.
    pub members_add: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_chars: 1000,
            messages_per_minute: 10,
            changes_per_minute: 60,
            searches_per_minute: 30,
            registrations_per_hour: 100,
            rooms_per_hour: 20,
            signin_failures: 10,
            members_add: true,
        }
    }
}
