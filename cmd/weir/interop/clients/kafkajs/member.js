// A member of a group: reads, commits for each further line of the input, and leaves at its end.
'use strict'

const { AssignerProtocol, PartitionAssigners } = require('kafkajs')
const { MemberAssignment, MemberMetadata } = AssignerProtocol

// kafkajs comes with one assignor, which no other client has. This is Kafka's range assignor for one topic, by the
// interface that the library has for others.
const range = ({ cluster }) => ({
  name: 'range',
  version: 0,
  async assign({ members, topics: [topic] }) {
    const partitions = cluster.findTopicPartitionMetadata(topic).map(p => p.partitionId).sort((a, b) => a - b)
    const ids = members.map(({ memberId }) => memberId).sort()
    const first = i => i * Math.floor(partitions.length / ids.length) + Math.min(i, partitions.length % ids.length)
    return ids.map((memberId, i) => ({
      memberId,
      memberAssignment: MemberAssignment.encode({
        version: this.version,
        assignment: { [topic]: partitions.slice(first(i), first(i + 1)) },
        userData: Buffer.alloc(0),
      }),
    }))
  },
  protocol({ topics }) {
    return { name: this.name, metadata: MemberMetadata.encode({ version: this.version, topics, userData: Buffer.alloc(0) }) }
  },
})

const assigners = { RoundRobinAssigner: PartitionAssigners.roundRobin, range }

const say = said => process.stdout.write(JSON.stringify(said) + '\n')

module.exports = async function join(kafka, job, lines) {
  const { topic, group } = job
  const consumer = kafka.consumer({
    groupId: group,
    maxWaitTimeInMs: 100,
    partitionAssigners: job.assignors.map(name => assigners[name]),
    sessionTimeout: job.sessionMillis,
    heartbeatInterval: job.heartbeatMillis,
    metadataMaxAge: job.metadataMillis,
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (payload.restart) return
    console.error(payload.error)
    process.exit(1)
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let next = new Map() // of what was read since the last commit
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      next.set(partition, String(Number(message.offset) + 1))
      say({ read: { partition, offset: Number(message.offset) } })
    },
  })
  for (let order = await lines.next(); !order.done; order = await lines.next()) {
    const offsets = [...next].map(([partition, offset]) => ({ topic, partition, offset }))
    next = new Map()
    await consumer.commitOffsets(offsets)
    say({ committed: true })
  }
  await consumer.disconnect()
  process.exit() // after a restart of the broker the library keeps something that Node waits for
}
