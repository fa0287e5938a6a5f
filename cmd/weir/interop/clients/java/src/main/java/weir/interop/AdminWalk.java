package weir.interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.protocol.Errors;

/** One pass over the admin client's calls. The call that replaces all settings left the client with Kafka 4.0. */
final class AdminWalk {
    private final String brokers;
    private final Job.Admin job;
    private final Map<String, Object> result = new TreeMap<>();

    AdminWalk(String brokers, Job.Admin job) {
        this.brokers = brokers;
        this.job = job;
    }

    Map<String, Object> run() throws Exception {
        try (Admin admin = Admin.create(Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, brokers))) {
            cluster(admin);
            create(admin);
            configure(admin);
            admin.createPartitions(Map.of(job.topic(), NewPartitions.increaseTo(5))).all().get();
            result.put("partitionsAfter", partitions(admin));
            trim(admin);
            logDirs(admin);
            refused(admin);
            remove(admin);
        }
        return result;
    }

    private void cluster(Admin admin) throws Exception {
        var cluster = admin.describeCluster();
        result.put("clusterId", cluster.clusterId().get());
        result.put("brokers", cluster.nodes().get().size());
    }

    private void create(Admin admin) throws Exception {
        admin.createTopics(List.of(new NewTopic(job.topic(), 3, (short) 1).configs(job.configs()))).all().get();
        result.put("listed", admin.listTopics().names().get().contains(job.topic()));
        result.put("partitions", partitions(admin));
    }

    private int partitions(Admin admin) throws Exception {
        return admin.describeTopics(List.of(job.topic())).allTopicNames().get().get(job.topic()).partitions().size();
    }

    private void configure(Admin admin) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, job.topic());
        result.put("configs", describe(admin, resource));
        List<AlterConfigOp> changes = new ArrayList<>();
        job.alter().forEach((name, value) ->
            changes.add(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
        admin.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
        result.put("altered", describe(admin, resource));
    }

    private static Map<String, String> describe(Admin admin, ConfigResource resource) throws Exception {
        Map<String, String> values = new TreeMap<>();
        admin.describeConfigs(List.of(resource)).all().get().get(resource).entries().stream()
            .filter(entry -> entry.value() != null)
            .forEach(entry -> values.put(entry.name(), entry.value()));
        return values;
    }

    private void trim(Admin admin) throws Exception {
        TopicPartition first = new TopicPartition(job.topic(), 0);
        try (KafkaProducer<byte[], byte[]> producer = Main.newProducer(brokers, "none", true)) {
            for (int number = 0; number < 10; number++) {
                byte[] value = ("record " + number).getBytes(StandardCharsets.UTF_8);
                producer.send(new ProducerRecord<>(job.topic(), 0, null, value)).get();
            }
        }
        var deleted = admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(4)));
        result.put("lowWatermark", deleted.lowWatermarks().get(first).get().lowWatermark());
        try (var consumer = Main.newConsumer(brokers)) {
            result.put("startAfter", consumer.beginningOffsets(List.of(first)).get(first));
        }
    }

    private void logDirs(Admin admin) throws Exception {
        List<Integer> ids = admin.describeCluster().nodes().get().stream().map(node -> node.id()).toList();
        long total = 0;
        for (var directories : admin.describeLogDirs(ids).allDescriptions().get().values()) {
            for (var directory : directories.values()) {
                var replica = directory.replicaInfos().get(new TopicPartition(job.topic(), 0));
                total += replica == null ? 0 : replica.size();
            }
        }
        result.put("logDirBytes", total);
    }

    private void refused(Admin admin) throws Exception {
        result.put("createExisting", codeOf(admin.createTopics(List.of(new NewTopic(job.topic(), 1, (short) 1))).all()));
        result.put("createIllegal", codeOf(admin.createTopics(List.of(new NewTopic(job.illegal(), 1, (short) 1))).all()));
        result.put("describeUnknown", codeOf(admin.describeTopics(List.of(job.unknown())).allTopicNames()));
    }

    private static short codeOf(KafkaFuture<?> call) throws InterruptedException {
        try {
            call.get();
            return Errors.NONE.code();
        } catch (ExecutionException e) {
            return Errors.forException(e.getCause()).code();
        }
    }

    private void remove(Admin admin) throws Exception {
        admin.deleteTopics(List.of(job.topic())).all().get();
        while (admin.listTopics().names().get().contains(job.topic())) {
            Thread.sleep(50);
        }
        result.put("deleted", true);
    }
}
