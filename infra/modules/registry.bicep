// The registry of the app's image. Nobody logs in to it with a password.

@description('Name of the registry: 5 to 50 letters and digits, unique in the world.')
@minLength(5)
@maxLength(50)
param name string

@description('Region.')
param location string

@description('Tags of the resource.')
param tags object

@description('Only private endpoints and trusted Azure services reach the registry, which is then a Premium one.')
param isPrivate bool

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: isPrivate ? 'Premium' : 'Basic'
  }
  properties: {
    adminUserEnabled: false
    anonymousPullEnabled: false
    networkRuleBypassOptions: 'AzureServices'
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
  }
}
