// The walk over kafkajs's admin calls. Its alterConfigs is the older call that replaces every setting, its
// deleteTopicRecords answers nothing, and it cannot describe log directories.
'use strict'

const { ConfigResourceTypes } = require('kafkajs')

module.exports = async function walk(kafka, job) {
  const admin = kafka.admin()
  await admin.connect()
  const { topic } = job
  const result = {}
  const cluster = await admin.describeCluster()
  result.clusterId = cluster.clusterId
  result.brokers = cluster.brokers.length

  await admin.createTopics({
    waitForLeaders: true,
    topics: [{ topic, numPartitions: 3, replicationFactor: 1, configEntries: entries(job.configs) }],
  })
  result.listed = (await admin.listTopics()).includes(topic)
  result.partitions = await partitions(admin, topic)
  result.configs = await describe(admin, topic)
  await admin.alterConfigs({
    validateOnly: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: entries(job.replace) }],
  })
  result.replaced = await describe(admin, topic)
  await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
  result.partitionsAfter = await partitions(admin, topic)
  result.startAfter = await trim(kafka, admin, topic)

  result.createExisting = await codeOf(admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }))
  result.createIllegal = await codeOf(admin.createTopics({ topics: [{ topic: job.illegal, numPartitions: 1 }] }))
  result.describeUnknown = await codeOf(impatient(kafka, other => other.fetchTopicMetadata({ topics: [job.unknown] })))

  await admin.deleteTopics({ topics: [topic] })
  while ((await admin.listTopics()).includes(topic)) await new Promise(done => setTimeout(done, 50))
  result.deleted = true
  await admin.disconnect()
  return result
}

const entries = configs => Object.entries(configs).map(([name, value]) => ({ name, value }))

async function partitions(admin, topic) {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  return topics[0].partitions.length
}

async function describe(admin, topic) {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
  })
  return Object.fromEntries(
    resources[0].configEntries
      .filter(({ configValue }) => configValue !== null)
      .map(({ configName, configValue }) => [configName, configValue])
  )
}

async function trim(kafka, admin, topic) {
  const producer = kafka.producer()
  await producer.connect()
  for (let number = 0; number < 10; number++) {
    await producer.send({ topic, messages: [{ partition: 0, value: `record ${number}` }] })
  }
  await producer.disconnect()
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] })
  const offsets = await admin.fetchTopicOffsets(topic)
  return Number(offsets.find(({ partition }) => partition === 0).low)
}

// kafkajs asks again for ten seconds when a topic is unknown, unless told not to.
async function impatient(kafka, call) {
  const admin = kafka.admin({ retry: { retries: 0 } })
  await admin.connect()
  try {
    return await call(admin)
  } finally {
    await admin.disconnect()
  }
}

// createTopics answers an existing topic with false rather than an error, and wraps the others.
async function codeOf(call) {
  try {
    return (await call) === false ? 36 : 0
  } catch (error) {
    const kafkaError = error.errors ? error.errors[0] : error.cause || error
    return kafkaError.code === undefined ? -1 : kafkaError.code
  }
}
