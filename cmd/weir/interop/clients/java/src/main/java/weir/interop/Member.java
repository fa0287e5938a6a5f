package weir.interop;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A member of a group: reads, commits for each further line of the input, and leaves at its end. */
final class Member {
    private static final Map<String, String> ASSIGNORS = Map.of(
        "range", RangeAssignor.class.getName(), "cooperative-sticky", CooperativeStickyAssignor.class.getName());

    private final String brokers;
    private final Job.Join job;
    private final ObjectMapper mapper;
    private final BlockingQueue<Boolean> orders = new LinkedBlockingQueue<>(); // whether to commit, or to leave

    Member(String brokers, Job.Join job, BufferedReader lines, ObjectMapper mapper) {
        this.brokers = brokers;
        this.job = job;
        this.mapper = mapper;
        Thread listener = new Thread(() -> listen(lines));
        listener.setDaemon(true);
        listener.start();
    }

    private void listen(BufferedReader lines) {
        try {
            while (lines.readLine() != null) {
                orders.add(true);
            }
            orders.add(false);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    void run() throws JsonProcessingException {
        try (Consumer<byte[], byte[]> consumer =
                 new KafkaConsumer<>(config(), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(job.topic()));
            for (Boolean order = orders.poll(); order == null || order; order = orders.poll()) {
                if (order != null) {
                    consumer.commitSync();
                    say(new Job.Said(null, true));
                }
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    say(new Job.Said(new Job.Position(record.partition(), record.offset()), false));
                }
            }
        }
    }

    private void say(Job.Said said) throws JsonProcessingException {
        System.out.println(mapper.writeValueAsString(said));
    }

    private Map<String, Object> config() {
        Map<String, Object> config = new HashMap<>(Map.of(
            ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
            ConsumerConfig.GROUP_ID_CONFIG, job.group(),
            ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false,
            ConsumerConfig.METADATA_MAX_AGE_CONFIG, job.metadataMillis(),
            ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest"));
        if (!job.instance().isEmpty()) {
            config.put(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG, job.instance());
        }
        if (job.consumer()) {
            config.put(ConsumerConfig.GROUP_PROTOCOL_CONFIG, "consumer");
            return config;
        }
        config.put(ConsumerConfig.PARTITION_ASSIGNMENT_STRATEGY_CONFIG, job.assignors().stream().map(ASSIGNORS::get).toList());
        config.put(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, job.sessionMillis());
        config.put(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, job.heartbeatMillis());
        return config;
    }
}
