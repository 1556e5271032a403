// The vault that keeps the signing key and secrets. Rights are roles; there are no access policies.

@description('Name of the vault: 3 to 24 letters, digits and hyphens, unique in the world.')
@minLength(3)
@maxLength(24)
param name string

@description('Region.')
param location string

@description('Tags of the resource.')
param tags object

@description('premium keeps keys in hardware.')
@allowed(['standard', 'premium'])
param sku string

@description('Only private endpoints and trusted Azure services reach the vault.')
param isPrivate bool

@description('Days for which a deleted vault, key or secret can be brought back.')
@minValue(7)
@maxValue(90)
param softDeleteDays int

@description('Nobody can end those days early. Cannot be taken back once it is set.')
param purgeProtection bool

@description('Workspace that gets a log line for every use of a key or secret.')
param workspaceId string

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: sku
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: softDeleteDays
    // The service knows true or absent, not false.
    enablePurgeProtection: purgeProtection ? true : null
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: isPrivate ? 'Deny' : 'Allow'
    }
  }
}

resource uses 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: vault
  properties: {
    workspaceId: workspaceId
    // The queries read AZKVAuditLogs, not the table that many services share.
    logAnalyticsDestinationType: 'Dedicated'
    logs: [{ categoryGroup: 'audit', enabled: true }]
  }
}
