// Containers and queues, in the account that this template made or in one of yours. The names are those of the code.

@description('Name of the storage account, in this resource group.')
param accountName string

// The last is not of the code: Event Grid keeps there what it could not deliver.
var containerNames = ['inbox', 'suites', 'runs', 'quarantine', 'bundles', 'quota', 'audit', 'cache', 'dead-letters']

// The Functions host moves what fails five times to the queue of the same name with -poison.
var queueNames = ['trials', 'trials-poison', 'ingest', 'ingest-poison']

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: accountName
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' existing = {
  parent: account
  name: 'default'
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices@2025-06-01' existing = {
  parent: account
  name: 'default'
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = [for name in containerNames: {
  parent: blobs
  name: name
  properties: {
    publicAccess: 'None'
  }
}]

resource workQueues 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-06-01' = [for name in queueNames: {
  parent: queues
  name: name
}]

@description('Region of the account, which may be one of yours.')
output location string = account.location
