package weir.interop;

import com.fasterxml.jackson.annotation.JsonInclude;
import java.util.List;
import java.util.Map;

/** What crosses between the driver and this program: the shapes of job/job.go. Jackson reads bytes as base64. */
record Job(String brokers, Produce produce, List<Read> consume, Join join, Transform transform,
           Flood flood, Stage stage, Admin admin) {

    record Header(String name, byte[] value) {}

    record Rec(int partition, long offset, long timestamp, byte[] key, byte[] value, List<Header> headers) {}

    record Produce(String topic, List<Run> runs) {}

    record Run(String codec, boolean idempotent, List<Rec> records) {}

    record Read(String topic, int partition, String from, long at, long end) {}

    record Join(String topic, String group, String instance, boolean consumer, List<String> assignors,
                int sessionMillis, int heartbeatMillis, int metadataMillis) {}

    record Transform(String from, String to, String group, String transactionalId, int count) {}

    record Flood(String topic, int partitions, int producers, int records, int valueBytes, int batchBytes) {}

    record Stage(int number, String from, String to, String group, String transactionalId, boolean consumer,
                 int sessionMillis, int heartbeatMillis, int timeoutMillis) {}

    record Admin(String topic, String illegal, String unknown, Map<String, String> configs,
                 Map<String, String> alter, Map<String, String> replace) {}

    record Position(int partition, long offset) {}

    record ReadResult(long start, long high, List<Rec> records) {}

    @JsonInclude(JsonInclude.Include.NON_NULL)
    record Result(String client, List<Position> produced, List<ReadResult> consumed, int aborted, int acknowledged,
                  Map<String, Object> admin) {}

    /** A line that a member of a group writes. */
    @JsonInclude(JsonInclude.Include.NON_DEFAULT)
    record Said(Position read, boolean committed) {}
}
