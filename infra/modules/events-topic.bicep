// Event Grid's source of events of the storage account; an account can have only one.

@description('Name of the system topic.')
param name string

@description('Region of the storage account.')
param location string

@description('Tags of the resource.')
param tags object

@description('Resource id of the storage account.')
param storageAccountId string

@description('False: the account has a topic of this name, with a system-assigned identity.')
param isNew bool

@description('Workspace that gets a log line for every delivery that failed.')
param workspaceId string

resource created 'Microsoft.EventGrid/systemTopics@2025-02-15' = if (isNew) {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    source: storageAccountId
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
}

resource known 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = if (!isNew) {
  name: name
}

resource failures 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (isNew) {
  name: 'to-workspace'
  scope: created
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'DeliveryFailures', enabled: true }]
  }
}

@description('Resource id of the topic.')
output id string = isNew ? created.id : known.id

@description('Object id of the identity that delivers the events.')
output principalId string = isNew ? created!.identity.principalId : known!.identity.principalId
