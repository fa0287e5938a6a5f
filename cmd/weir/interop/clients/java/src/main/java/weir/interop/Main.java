package weir.interop;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** Runs interop jobs with Apache Kafka's own Java client. */
public final class Main {
    private static final Duration TIMEOUT = Duration.ofSeconds(60);

    private Main() {}

    public static void main(String[] args) throws Exception {
        ObjectMapper mapper = new ObjectMapper().configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Job job = mapper.readValue(lines.readLine(), Job.class);
        List<Job.Position> produced = null;
        List<Job.ReadResult> consumed = null;
        int aborted = 0;
        int acknowledged = 0;
        Map<String, Object> admin = null;
        if (job.produce() != null) {
            produced = produce(job.brokers(), job.produce());
        } else if (job.consume() != null) {
            consumed = consume(job.brokers(), job.consume());
        } else if (job.join() != null) {
            new Member(job.brokers(), job.join(), lines, mapper).run();
            return;
        } else if (job.transform() != null) {
            aborted = new Transformer(job.brokers(), job.transform()).run();
        } else if (job.flood() != null) {
            acknowledged = new Flooder(job.brokers(), job.flood()).run();
        } else if (job.stage() != null) {
            new Stage(job.brokers(), job.stage()).run();
        } else {
            admin = new AdminWalk(job.brokers(), job.admin()).run();
        }
        String client = "kafka-clients " + AppInfoParser.getVersion();
        mapper.writeValue(System.out, new Job.Result(client, produced, consumed, aborted, acknowledged, admin));
    }

    private static List<Job.Position> produce(String brokers, Job.Produce job) throws Exception {
        List<Job.Position> positions = new ArrayList<>();
        for (Job.Run run : job.runs()) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            try (KafkaProducer<byte[], byte[]> producer = newProducer(brokers, run.codec(), run.idempotent())) {
                for (Job.Rec rec : run.records()) {
                    sent.add(producer.send(toKafka(job.topic(), rec)));
                }
            }
            for (Future<RecordMetadata> future : sent) {
                RecordMetadata metadata = future.get();
                positions.add(new Job.Position(metadata.partition(), metadata.offset()));
            }
        }
        return positions;
    }

    static KafkaProducer<byte[], byte[]> newProducer(String brokers, String codec, boolean idempotent) {
        return new KafkaProducer<>(Map.of(
            ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
            ProducerConfig.COMPRESSION_TYPE_CONFIG, codec,
            ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, idempotent,
            ProducerConfig.ACKS_CONFIG, "all",
            ProducerConfig.LINGER_MS_CONFIG, 20), new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static ProducerRecord<byte[], byte[]> toKafka(String topic, Job.Rec rec) {
        ProducerRecord<byte[], byte[]> record =
            new ProducerRecord<>(topic, null, rec.timestamp(), rec.key(), rec.value());
        if (rec.headers() != null) {
            rec.headers().forEach(header -> record.headers().add(header.name(), header.value()));
        }
        return record;
    }

    static Consumer<byte[], byte[]> newConsumer(String brokers) {
        return new KafkaConsumer<>(Map.of(
            ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
            ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG, 50, // each read ends with a fetch that waits at the end
            ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false,
            ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "none"), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static List<Job.ReadResult> consume(String brokers, List<Job.Read> reads) {
        List<Job.ReadResult> results = new ArrayList<>();
        try (Consumer<byte[], byte[]> consumer = newConsumer(brokers)) {
            for (Job.Read read : reads) {
                results.add(readOne(consumer, read));
            }
        }
        return results;
    }

    private static Job.ReadResult readOne(Consumer<byte[], byte[]> consumer, Job.Read read) {
        TopicPartition partition = new TopicPartition(read.topic(), read.partition());
        long high = consumer.endOffsets(List.of(partition)).get(partition);
        long start = switch (read.from()) {
            case "offset" -> read.at();
            case "timestamp" -> {
                var found = consumer.offsetsForTimes(Map.of(partition, read.at())).get(partition);
                yield found == null ? -1 : found.offset();
            }
            default -> consumer.beginningOffsets(List.of(partition)).get(partition);
        };
        List<Job.Rec> records = new ArrayList<>();
        if (start >= 0 && start < read.end()) {
            consumer.assign(List.of(partition));
            consumer.seek(partition, start);
            collect(consumer, partition, read.end(), records);
        }
        return new Job.ReadResult(start, high, records);
    }

    private static void collect(Consumer<byte[], byte[]> consumer, TopicPartition partition, long end, List<Job.Rec> into) {
        long deadline = System.nanoTime() + TIMEOUT.toNanos();
        while (consumer.position(partition) < end) {
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("no end of " + partition + " after " + TIMEOUT);
            }
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                if (record.offset() < end) {
                    into.add(fromKafka(record));
                }
            }
        }
    }

    private static Job.Rec fromKafka(ConsumerRecord<byte[], byte[]> record) {
        List<Job.Header> headers = new ArrayList<>();
        record.headers().forEach(header -> headers.add(new Job.Header(header.key(), header.value())));
        return new Job.Rec(record.partition(), record.offset(), record.timestamp(), record.key(), record.value(), headers);
    }
}
