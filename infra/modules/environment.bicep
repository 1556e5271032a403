// The Container Apps environment that the app runs in; its logs go to the workspace without a key.

@description('Name of the environment.')
param name string

@description('Region.')
param location string

@description('Tags of the resource.')
param tags object

@description('Workspace that gets what the app and the platform log.')
param workspaceId string

@description('Subnet of the environment, delegated to Microsoft.App/environments; empty: a network of the platform.')
param subnetId string

@description('Replicas in several zones; needs a subnet and a region with zones. Cannot be changed later.')
param zoneRedundant bool

resource environment 'Microsoft.App/managedEnvironments@2025-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    appLogsConfiguration: {
      destination: 'azure-monitor'
    }
    vnetConfiguration: empty(subnetId) ? null : { infrastructureSubnetId: subnetId, internal: true }
    zoneRedundant: zoneRedundant
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
    ]
    peerTrafficConfiguration: {
      encryption: {
        enabled: true
      }
    }
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: environment
  properties: {
    workspaceId: workspaceId
    logs: [{ categoryGroup: 'allLogs', enabled: true }]
  }
}

@description('Resource id of the environment.')
output id string = environment.id

@description('What the addresses of its apps end in.')
output defaultDomain string = environment.properties.defaultDomain
