// An Azure OpenAI account with its deployments, asked by identity alone.

import { deployment } from 'types.bicep'

@description('Name of the account, which is also the first part of its address: unique in the world.')
@minLength(2)
@maxLength(64)
param name string

@description('Region.')
param location string

@description('Tags of the resource.')
param tags object

@description('Only private endpoints reach the account.')
param isPrivate bool

@description('The deployments.')
param deployments deployment[]

resource account 'Microsoft.CognitiveServices/accounts@2025-09-01' = {
  name: name
  location: location
  tags: tags
  kind: 'OpenAI'
  sku: {
    name: 'S0'
  }
  properties: {
    customSubDomainName: name
    disableLocalAuth: true
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: isPrivate ? 'Deny' : 'Allow'
    }
  }
}

// The service refuses two changes of one account at once.
@batchSize(1)
resource models 'Microsoft.CognitiveServices/accounts/deployments@2025-09-01' = [for one in deployments: {
  parent: account
  name: one.name
  sku: {
    name: one.?sku ?? 'GlobalStandard'
    capacity: one.capacity
  }
  properties: {
    model: {
      format: 'OpenAI'
      name: one.?model ?? one.name
      version: one.?version
    }
    // An experiment compares like with like: a model that changes by itself would not be one.
    versionUpgradeOption: 'NoAutoUpgrade'
  }
}]
