// The Durable Task Scheduler, in place of the storage account, for the state of orchestrations.

@description('Name of the scheduler.')
param name string

@description('Region.')
param location string

@description('Tags of the resource.')
param tags object

@description('Name of the task hub.')
param taskHubName string

@description('Only private endpoints reach the scheduler.')
param isPrivate bool

@description('Address ranges that may reach the scheduler, if it is not private.')
param ipAllowlist string[]

resource scheduler 'Microsoft.DurableTask/schedulers@2026-02-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    ipAllowlist: isPrivate ? [] : ipAllowlist
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    sku: {
      name: 'Consumption'
    }
  }
}

resource taskHub 'Microsoft.DurableTask/schedulers/taskHubs@2026-02-01' = {
  parent: scheduler
  name: taskHubName
}

@description('Address of the scheduler.')
output endpoint string = scheduler.properties.endpoint
