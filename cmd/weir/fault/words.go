package fault

import "github.com/twmb/franz-go/pkg/kerr"

// advice holds the codes that people meet and for which more can be said than Kafka's own sentence.
var advice = map[*kerr.Error]struct{ why, do string }{
	kerr.UnknownTopicOrPartition: {"The broker has no such topic or partition", "List what is there: weir topic list"},
	kerr.TopicAlreadyExists:      {"A topic of that name is there", "Use another name, or --if-not-exists to accept it as it is"},
	kerr.InvalidTopicException: {"The name is not allowed: 1 to 249 of a-z A-Z 0-9 . _ -, not . or .., and not just another's with . and _ swapped",
		"Choose another name"},
	kerr.InvalidPartitions:                  {"The number of partitions is not possible", "A topic has at least one partition and never gets fewer than it has"},
	kerr.InvalidReplicationFactor:           {"There are not that many brokers", "Ask for as many replicas as there are brokers, or leave it out"},
	kerr.InvalidConfig:                      {"A setting has an unknown name or a value that does not fit", "See the names: weir topic describe TOPIC"},
	kerr.OffsetOutOfRange:                   {"The offset is not (or no longer) in the log", "See what is there: weir topic offsets TOPIC"},
	kerr.LeaderNotAvailable:                 {"The partition has no leader yet", "Try again in a moment"},
	kerr.NotLeaderForPartition:              {"The partition moved to another broker", "Try again in a moment"},
	kerr.NotEnoughReplicas:                  {"Fewer replicas are in sync than min.insync.replicas asks for", "See the replicas: weir topic describe TOPIC"},
	kerr.MessageTooLarge:                    {"The record is larger than the topic's max.message.bytes", "Raise it: weir topic alter TOPIC -c max.message.bytes=BYTES, and write with -X batch.size=BYTES"},
	kerr.RecordListTooLarge:                 {"The batch is larger than a segment", "Raise it: weir topic alter TOPIC -c segment.bytes=BYTES"},
	kerr.InvalidTimestamp:                   {"The timestamp is too far from the broker's clock for the topic", "See message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic"},
	kerr.CorruptMessage:                     {"The bytes do not match their checksum", "Look for a fault between here and the broker, then in its disk: weir log verify"},
	kerr.KafkaStorageError:                  {"The broker cannot write to its disk", "Look at the broker's log; a full disk heals when there is room"},
	kerr.PolicyViolation:                    {"The broker's rules forbid it", ""},
	kerr.ClusterAuthorizationFailed:         {"The user may not do that", ""},
	kerr.TopicAuthorizationFailed:           {"The user may not do that with this topic", ""},
	kerr.GroupAuthorizationFailed:           {"The user may not do that with this group", ""},
	kerr.TransactionalIDAuthorizationFailed: {"The user may not do that with this transactional id", ""},
	kerr.SecurityDisabled:                   {"The broker does not go by ACLs", "Start all brokers with authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"},
	kerr.RequestTimedOut:                    {"The broker did not finish in time", "Allow more with --timeout"},
	kerr.UnsupportedVersion:                 {"The broker does not speak this request", "See what it speaks: weir api-versions"},
	kerr.CoordinatorNotAvailable:            {"No broker looks after that group yet", "Try again in a moment"},
	kerr.UnknownTopicID:                     {"The topic was deleted, or deleted and made anew, meanwhile", "Start again"},
}

func words(code *kerr.Error) (why, do string) {
	if a, ok := advice[code]; ok {
		return a.why, a.do
	}
	return sentence(code.Description), ""
}
