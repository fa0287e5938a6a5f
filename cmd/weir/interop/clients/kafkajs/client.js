// Runs interop jobs with kafkajs: the shapes of job/job.go.
//
// kafkajs has no consumer without a group. To read by assignment, consume() drives the layer below its
// consumer: the library's own Cluster and Broker classes, which send ListOffsets and Fetch, and its
// Batch, which drops what lies before the asked offset as its consumer does.
'use strict'

const readline = require('readline')
const { Kafka, Partitioners, logLevel } = require('kafkajs')
const Batch = require('kafkajs/src/consumer/batch')
const Cluster = require('kafkajs/src/cluster')
const ISOLATION_LEVEL = require('kafkajs/src/protocol/isolationLevel')
const loggerConsole = require('kafkajs/src/loggers/console')
const socketFactory = require('kafkajs/src/network/socketFactory')
const { createLogger } = require('kafkajs/src/loggers')
const { version } = require('kafkajs/package.json')
const admin = require('./admin')
const codecs = require('./codecs')
const join = require('./member')

const bytes = text => (text === null ? null : Buffer.from(text, 'base64'))
const text = buffer => (buffer === null ? null : buffer.toString('base64'))

// kafkajs takes headers as an object; a repeated name becomes an array.
function toHeaders(headers) {
  const object = {}
  for (const { name, value } of headers || []) {
    object[name] = (object[name] || []).concat([bytes(value)])
  }
  return object
}

const fromHeaders = object =>
  Object.entries(object).flatMap(([name, values]) =>
    [].concat(values).map(value => ({ name, value: text(value) }))
  )

async function produce(brokers, job) {
  const positions = []
  for (const run of job.runs) {
    positions.push(...(await produceRun(brokers, job.topic, run)))
  }
  return positions
}

// send answers with the first offset of each partition only, so the partitioner is listened to: a
// record's offset is that one plus its place among the records of its partition.
async function produceRun(brokers, topic, run) {
  const chosen = new Map()
  const producer = kafkaOf(brokers).producer({
    idempotent: run.idempotent,
    maxInFlightRequests: run.idempotent ? 1 : null,
    allowAutoTopicCreation: false,
    createPartitioner: () => {
      const inner = Partitioners.DefaultPartitioner()
      return choice => {
        const partition = inner(choice)
        chosen.set(choice.message, partition)
        return partition
      }
    },
  })
  const messages = run.records.map(record => ({
    key: bytes(record.key),
    value: bytes(record.value),
    headers: toHeaders(record.headers),
    timestamp: String(record.timestamp),
  }))
  await producer.connect()
  const answers = await producer.send({ topic, acks: -1, compression: codecs.types[run.codec], messages })
  await producer.disconnect()
  const next = new Map(answers.map(a => [a.partition, Number(a.baseOffset)]))
  return messages.map(message => {
    const partition = chosen.get(message)
    const offset = next.get(partition)
    next.set(partition, offset + 1)
    return { partition, offset }
  })
}

async function consume(brokers, reads) {
  const cluster = new Cluster({
    brokers: [brokers],
    clientId: 'interop',
    socketFactory: socketFactory(),
    logger: createLogger({ level: logLevel.ERROR, logCreator: loggerConsole }),
    connectionTimeout: 10000,
    metadataMaxAge: 300000,
    allowAutoTopicCreation: false,
    isolationLevel: ISOLATION_LEVEL.READ_COMMITTED,
  })
  await cluster.connect()
  await cluster.addMultipleTargetTopics([...new Set(reads.map(read => read.topic))])
  const results = []
  for (const read of reads) {
    results.push(await readOne(cluster, read))
  }
  await cluster.disconnect()
  return results
}

async function readOne(cluster, { topic, partition, from, at, end }) {
  const high = await offsetAt(cluster, topic, partition, -1)
  let start = at
  if (from === 'timestamp') start = await offsetAt(cluster, topic, partition, at)
  if (from === 'start') start = await offsetAt(cluster, topic, partition, -2)
  const records = []
  for (let next = start; start >= 0 && next < end; ) {
    const batch = await fetch(cluster, topic, partition, next)
    for (const message of batch.messages) {
      next = Number(message.offset) + 1
      if (next > end) break
      records.push({
        partition,
        offset: next - 1,
        timestamp: Number(message.timestamp),
        key: text(message.key),
        value: text(message.value),
        headers: fromHeaders(message.headers),
      })
    }
    // What compaction removed is passed as the library's consumer passes it.
    next = Math.max(next, Number(batch.lastOffset()) + 1)
  }
  return { start, high, records }
}

async function leaderOf(cluster, topic, partition) {
  const nodeId = Object.keys(cluster.findLeaderForPartitions(topic, [partition]))[0]
  return cluster.findBroker({ nodeId })
}

async function offsetAt(cluster, topic, partition, timestamp) {
  const broker = await leaderOf(cluster, topic, partition)
  const { responses } = await broker.listOffsets({
    replicaId: -1,
    isolationLevel: ISOLATION_LEVEL.READ_COMMITTED,
    topics: [{ topic, partitions: [{ partition, timestamp: String(timestamp) }] }],
  })
  return Number(responses[0].partitions[0].offset)
}

async function fetch(cluster, topic, partition, fetchOffset) {
  const broker = await leaderOf(cluster, topic, partition)
  const { responses } = await broker.fetch({
    replicaId: -1,
    isolationLevel: ISOLATION_LEVEL.READ_COMMITTED,
    maxWaitTime: 1000,
    minBytes: 1,
    topics: [{ topic, partitions: [{ partition, fetchOffset: String(fetchOffset), maxBytes: 1 << 20 }] }],
  })
  return new Batch(topic, String(fetchOffset), responses[0].partitions[0])
}

const kafkaOf = brokers =>
  new Kafka({ clientId: 'interop', brokers: [brokers], connectionTimeout: 10000, logLevel: logLevel.NOTHING })

async function main() {
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  const job = JSON.parse((await lines.next()).value)
  await codecs.install()
  if (job.join) return join(kafkaOf(job.brokers), job.join, lines)
  const result = { client: `kafkajs ${version}` }
  if (job.produce) result.produced = await produce(job.brokers, job.produce)
  else if (job.consume) result.consumed = await consume(job.brokers, job.consume)
  else result.admin = await admin(kafkaOf(job.brokers), job.admin)
  process.stdout.write(JSON.stringify(result))
}

main().catch(error => {
  console.error(error)
  process.exitCode = 1
})
