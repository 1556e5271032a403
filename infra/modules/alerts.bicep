// Alerts: most are a query of infra/queries, run every few minutes over the workspace; the rest are metrics of Azure. docs/monitoring.md says what to do about each.

@description('Short name that begins the names of the alerts.')
param name string

@description('Region.')
param location string

@description('Tags of the resources.')
param tags object

@description('The workspace that the queries read.')
param workspaceId string

@description('The storage account whose refusals are watched.')
param storageAccountId string

@description('The Event Grid topic whose deliveries are watched.')
param eventsTopicId string

@description('Mail addresses that alerts go to; none: they are seen in the portal only.')
param emails string[]

@description('Resource ids of action groups of yours that alerts go to as well.')
param actionGroupIds string[] = []

@description('Percent of a suite\'s trials that may fail within half an hour.')
@minValue(0)
@maxValue(100)
param failedPercent int = 10

@description('Minutes that a run may go without progress.')
@minValue(5)
@maxValue(240)
param stalledMinutes int = 15

@description('Percent of the requests to a deployment that may be answered with 429.')
@minValue(0)
@maxValue(100)
param throttledPercent int = 10

@description('Percent of a run\'s budget that may be spent before it is worth a message.')
@minValue(1)
@maxValue(100)
param budgetPercent int = 90

// An alert fires when its query returns a row; severity 0 is critical, 4 verbose.
var rules = [
  {
    name: 'poison'
    title: 'Messages could not be processed'
    query: loadTextContent('../queries/alert-poison.kql')
    severity: 2
    every: 'PT5M'
    window: 'PT15M'
    dimension: 'Queue'
  }
  {
    name: 'run-failed'
    title: 'A run failed, stopped, or was not published'
    query: loadTextContent('../queries/alert-run-failed.kql')
    severity: 2
    every: 'PT5M'
    window: 'PT15M'
    dimension: 'Run'
  }
  {
    name: 'stalled'
    title: 'A run makes no progress'
    query: replace(loadTextContent('../queries/alert-stalled.kql'), 'let limit = 15;', 'let limit = ${stalledMinutes};')
    severity: 2
    every: 'PT5M'
    window: 'PT6H'
    dimension: 'Run'
  }
  {
    name: 'failure-rate'
    title: 'Many trials fail'
    query: replace(loadTextContent('../queries/alert-failure-rate.kql'), 'let limit = 10;', 'let limit = ${failedPercent};')
    severity: 3
    every: 'PT5M'
    window: 'PT30M'
    dimension: 'Suite'
  }
  {
    name: 'throttling'
    title: 'A deployment answers many requests with 429'
    query: replace(loadTextContent('../queries/alert-throttling.kql'), 'let limit = 10;', 'let limit = ${throttledPercent};')
    severity: 3
    every: 'PT5M'
    window: 'PT30M'
    dimension: 'Deployment'
  }
  {
    name: 'budget'
    title: 'A run has nearly spent its budget'
    query: replace(loadTextContent('../queries/alert-budget.kql'), 'let limit = 90;', 'let limit = ${budgetPercent};')
    severity: 3
    every: 'PT15M'
    window: 'PT1H'
    dimension: 'Run'
  }
  {
    name: 'vault-denied'
    title: 'Key Vault refused a request'
    query: loadTextContent('../queries/alert-vault-denied.kql')
    severity: 2
    every: 'PT5M'
    window: 'PT15M'
    dimension: 'Operation'
  }
]

resource receivers 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(emails)) {
  name: 'ag-${name}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: name
    enabled: true
    emailReceivers: [for (address, at) in emails: {
      name: 'mail-${at}'
      emailAddress: address
      useCommonAlertSchema: true
    }]
  }
}

var groupIds = concat(empty(emails) ? [] : [receivers.id], actionGroupIds)

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in rules: {
  name: '${name}-${rule.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Assay: ${rule.title}'
    description: 'See ${rule.name} in docs/monitoring.md.'
    enabled: true
    severity: rule.severity
    scopes: [workspaceId]
    evaluationFrequency: rule.every
    windowSize: rule.window
    autoMitigate: true
    // The tables are made when the first telemetry arrives, which is after this.
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: rule.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [
            {
              name: rule.dimension
              operator: 'Include'
              values: ['*']
            }
          ]
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: groupIds
    }
  }
}]

// Storage logs are off unless asked for; this metric is there for nothing, and says that, not who.
resource storageDenied 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-storage-denied'
  location: 'global'
  tags: tags
  properties: {
    description: 'Assay: storage refused a request. See storage-denied in docs/monitoring.md.'
    enabled: true
    severity: 1
    scopes: [storageAccountId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'refusals'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: 'Microsoft.Storage/storageAccounts'
          metricName: 'Transactions'
          dimensions: [
            {
              name: 'ResponseType'
              operator: 'Include'
              values: ['AuthorizationError']
            }
          ]
          timeAggregation: 'Total'
          // A resource has no metrics in its first minutes, and the rule would be refused.
          skipMetricValidation: true
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: [for id in groupIds: {
      actionGroupId: id
    }]
  }
}

// Files that were dropped and never became a run are seen nowhere else: Event Grid writes to no log of ours.
var deliveries = [
  {
    name: 'delivery-failing'
    metric: 'DeliveryAttemptFailCount'
    // One or two that a repetition mends are nothing.
    threshold: 3
    severity: 3
  }
  {
    name: 'delivery-kept'
    metric: 'DeadLetteredCount'
    threshold: 0
    severity: 2
  }
  {
    name: 'delivery-lost'
    metric: 'DroppedEventCount'
    threshold: 0
    severity: 1
  }
]

resource undelivered 'Microsoft.Insights/metricAlerts@2018-03-01' = [for one in deliveries: {
  name: '${name}-${one.name}'
  location: 'global'
  tags: tags
  properties: {
    description: 'Assay: a dropped file may start no run. See ${one.name} in docs/monitoring.md.'
    enabled: true
    severity: one.severity
    scopes: [eventsTopicId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT30M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'events'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: 'Microsoft.EventGrid/systemTopics'
          metricName: one.metric
          timeAggregation: 'Total'
          // A resource has no metrics in its first minutes, and the rule would be refused.
          skipMetricValidation: true
          operator: 'GreaterThan'
          threshold: one.threshold
        }
      ]
    }
    actions: [for id in groupIds: {
      actionGroupId: id
    }]
  }
}]
