//! What an error of librdkafka means for reading.

use rdkafka::types::RDKafkaErrorCode as Code;

/// What is to be done after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// librdkafka goes on by itself: wait.
    Transient,
    /// Offsets that are needed are gone.
    Lost,
    /// The topic or a partition is not there.
    Missing,
    /// The broker does not let us in: waiting does not help.
    Denied,
    /// Frames may be missing or wrong after this.
    Broken,
}

/// Sorts an error. What is not known to be harmless is [`Verdict::Broken`]: librdkafka steps over a
/// batch that it cannot unpack, and to go on would lose its frames without a word.
pub(super) fn judge(code: Code) -> Verdict {
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation | Code::NoOffset => {
            Verdict::Lost
        }
        Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopicId => Verdict::Missing,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed => Verdict::Denied,
        Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::BrokerDestroy
        | Code::DestroyBroker
        | Code::UnknownBroker
        | Code::NodeUpdate
        | Code::Resolve
        | Code::SSL
        | Code::OperationTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue
        | Code::RequestTimedOut
        | Code::NetworkException
        | Code::Retry
        | Code::WaitCache
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::Outdated
        | Code::Unknown
        | Code::LeaderNotAvailable
        | Code::PreferredLeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::KafkaStorageError
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable
        | Code::FetchSessionIdNotFound
        | Code::InvalidFetchSessionEpoch
        | Code::ThrottlingQuotaExceeded
        | Code::RebootstrapRequired
        // Of the group, which only Kafka's own tools look at.
        | Code::WaitingForCoordinator
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::UnstableOffsetCommit
        | Code::UnknownMemberId
        | Code::IllegalGeneration
        | Code::GroupAuthorizationFailed
        | Code::InvalidGroupId => Verdict::Transient,
        _ => Verdict::Broken,
    }
}
