// Azure AI Content Safety, for suites with a prompt shield. Asked by identity alone.

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

resource account 'Microsoft.CognitiveServices/accounts@2025-09-01' = {
  name: name
  location: location
  tags: tags
  kind: 'ContentSafety'
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

@description('Address of the service.')
output endpoint string = account.properties.endpoint
