// The storage account and what it does by itself: no keys, no public blobs, retention. Not used for an account of yours.

@description('Name of the account: 3 to 24 lower-case letters and digits, unique in the world.')
@minLength(3)
@maxLength(24)
param name string

@description('Region.')
param location string

@description('Tags of the resource.')
param tags object

@description('How often and where data are copied.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS', 'Standard_RAGRS', 'Standard_RAGZRS'])
param sku string

@description('Only private endpoints and trusted Azure services reach the account.')
param isPrivate bool

@description('Public addresses or ranges that reach it all the same.')
param allowedIps string[]

@description('Days for which deleted and overwritten blobs can be brought back; 0: not at all.')
@minValue(0)
@maxValue(365)
param softDeleteDays int

@description('Days after which kept answers below cache/ are deleted.')
@minValue(1)
@maxValue(3650)
param cacheDays int

@description('Days after which blobs of runs, audit and bundles move to the cool tier.')
@minValue(1)
@maxValue(3650)
param coolAfterDays int

@description('Days after which blobs of runs and audit are deleted; 0: never.')
@minValue(0)
@maxValue(36500)
param deleteAfterDays int

@description('Workspace that gets a log line for every storage operation; empty: none. A large run makes millions.')
param logsWorkspaceId string

var softDelete = softDeleteDays == 0 ? { enabled: false } : { enabled: true, days: softDeleteDays }

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: sku
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    // Not 'Disabled' when private: Event Grid delivers through the exception for trusted services of this firewall.
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: isPrivate ? 'Deny' : 'Allow'
      ipRules: [for address in allowedIps: { action: 'Allow', value: address }]
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: softDelete
    containerDeleteRetentionPolicy: softDelete
  }
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices@2025-06-01' = {
  parent: account
  name: 'default'
}

var keepingRules = [
  {
    name: 'forget-cached-answers'
    type: 'Lifecycle'
    enabled: true
    definition: {
      filters: { blobTypes: ['blockBlob'], prefixMatch: ['cache/'] }
      actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: cacheDays } } }
    }
  }
  {
    // Azure has no tiers for append blobs: audit journals stay hot, what is written at once becomes cool.
    name: 'cool-old-runs'
    type: 'Lifecycle'
    enabled: true
    definition: {
      filters: { blobTypes: ['blockBlob'], prefixMatch: ['runs/', 'audit/', 'bundles/'] }
      actions: { baseBlob: { tierToCool: { daysAfterModificationGreaterThan: coolAfterDays } } }
    }
  }
]

var deletingRules = [
  {
    name: 'delete-old-runs'
    type: 'Lifecycle'
    enabled: true
    definition: {
      filters: { blobTypes: ['blockBlob', 'appendBlob'], prefixMatch: ['runs/', 'audit/'] }
      actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: deleteAfterDays } } }
    }
  }
]

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: concat(keepingRules, deleteAfterDays == 0 ? [] : deletingRules)
    }
  }
}

resource blobLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(logsWorkspaceId)) {
  name: 'to-workspace'
  scope: blobs
  properties: {
    workspaceId: logsWorkspaceId
    logs: [{ categoryGroup: 'allLogs', enabled: true }]
  }
}

resource queueLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(logsWorkspaceId)) {
  name: 'to-workspace'
  scope: queues
  properties: {
    workspaceId: logsWorkspaceId
    logs: [{ categoryGroup: 'allLogs', enabled: true }]
  }
}
